"""`lightrec simulate`."""

import argparse
from pathlib import Path
from typing import Any

from lightrec.errors import RecipeError

EXAMPLES = """examples:
  lightrec simulate Greed --policy random oracle --sessions 1000
  lightrec simulate Greed --policy random constant linucb --sessions 200
  lightrec simulate Greed --policy oracle --mode fixed --set slate_size=3
  lightrec simulate runs/video --policy policy greedy random
  lightrec simulate Greed --policy random --sessions 10000 --out greed_log
  lightrec run generic --log greed_log

Worlds know random, greedy where they say what is liked now, constant (the best list found for
everybody), epsilon-greedy, linucb, thompson and oracle. A run knows policy, greedy, constant,
popularity, random, epsilon-greedy, linucb and thompson, and is played in its user model B; bandits
learn in A. A saved policy is named by its folder. `lightrec plugins list` names the worlds,
`lightrec plugins show Greed` their settings.
"""


def parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parsing = argparse.ArgumentParser(
        prog="lightrec simulate",
        description="Roll policies in a simulator of users: what they earn, and for how long.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parsing.add_argument("what", help="a world's name, or a run folder such as runs/video")
    parsing.add_argument(
        "--policy", nargs="+", default=["random"], metavar="NAME", help="one or several"
    )
    parsing.add_argument("--sessions", type=int, default=1000, help="of each (default: 1000)")
    parsing.add_argument("--seed", type=int, default=0, help="of all chance (default: 0)")
    parsing.add_argument(
        "--model",
        choices=["users_a", "users_b"],
        default="users_b",
        help="which user model of a run",
    )
    parsing.add_argument(
        "--mode",
        choices=["free", "no-repeats", "fixed"],
        default="free",
        help="of judging: the simulator's own rules, nothing shown twice in a session, or nobody "
        "leaves (default: free)",
    )
    parsing.add_argument(
        "--draw", action="store_true", help="draw slates instead of showing what scores highest"
    )
    parsing.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings of the simulator"
    )
    parsing.add_argument(
        "--out", type=Path, help="write the sessions of one policy, drawn, as a log into a folder"
    )
    return parsing


def main(command: str, arguments: list[str]) -> int:
    """Roll policies in a simulator of users."""
    chosen = parser().parse_args(arguments)
    if chosen.sessions < 1:
        raise RecipeError(f"--sessions must be at least 1, not {chosen.sessions}.")
    settings = dict(map(setting, chosen.set))
    if chosen.out is not None and len(chosen.policy) != 1:
        raise RecipeError(
            f"--out writes the sessions of one policy, and {len(chosen.policy)} were named."
        )
    if chosen.out is not None and chosen.out.exists():
        raise RecipeError(f"{chosen.out} is there already. Remove it, or name another folder.")

    from lightrec.evaluation.arena import arena, table

    on = arena(chosen.what, chosen.sessions, chosen.seed, settings, chosen.model)
    on = on.in_mode(chosen.mode)
    if chosen.out is None:
        players = {name: on.policy(name) for name in chosen.policy}
        found = {
            name: on.play(player, chosen.sessions, chosen.seed, deterministic=not chosen.draw)
            for name, player in players.items()
        }
    else:
        name = chosen.policy[0]
        found = {name: on.write_log(name, chosen.sessions, chosen.seed, chosen.out)}
    print(table(found))
    if chosen.out is not None:
        print(f"{chosen.out}: read it with `lightrec run generic --log {chosen.out}`")
    return 0


def setting(text: str, what: str = "--set") -> tuple[str, Any]:
    """Read ``name=value``, the value as YAML.

    :param what: what the message speaks of.
    :raises RecipeError: where it is not of that form.
    """
    import yaml

    name, equals, value = text.partition("=")
    if not name or not equals:
        raise RecipeError(f"{what} takes NAME=VALUE, such as slate_size=3, and not {text!r}.")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"The value in {text!r} cannot be read as YAML: {error}.") from error
