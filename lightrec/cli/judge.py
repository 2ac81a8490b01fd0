"""`lightrec judge`."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from lightrec.cli.simulate import setting
from lightrec.errors import RecipeError

if TYPE_CHECKING:
    from lightrec.evaluation.judge import Place

EXAMPLES = """examples:
  lightrec judge runs/video --policy policy greedy
  lightrec judge runs/video --policy policy --modes free --sessions 3000 --out judged.md judged.json
  lightrec judge Greed Greed:slate_size=3 --policy random oracle --over random
  lightrec judge runs/a/users_a runs/b/users_b --policy runs/a/policy@A runs/b/policy --modes fixed

A simulator is a run, which stands for its user models A and B; one of its user models, such as
runs/video/users_b; or a world, with settings after a colon. In the tables they are called A, B and
so on, in their order. A saved policy is named by its folder; @A says that it was trained in
simulator A, which is known of a run's own policy. Beside the policies stand random, the best that
is known (a world's oracle, or the best of greedy, constant and popularity), and what --over names.
"""
MODELS = ("users_a", "users_b")


def parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parsing = argparse.ArgumentParser(
        prog="lightrec judge",
        description="Judge policies in several simulators and three modes: what they earn, what "
        "comes from longer sessions, and what is kept in a simulator they never saw.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parsing.add_argument(
        "simulators", nargs="+", help="runs, user models of runs, or worlds with settings"
    )
    parsing.add_argument(
        "--policy", nargs="+", required=True, metavar="NAME", help="one or several"
    )
    parsing.add_argument(
        "--modes",
        nargs="+",
        default=["free", "no-repeats", "fixed"],
        choices=["free", "no-repeats", "fixed"],
        help="free: the simulator's own rules; no-repeats: nothing is shown twice in a session; "
        "fixed: nobody leaves (default: all three)",
    )
    parsing.add_argument(
        "--over",
        metavar="NAME",
        help="over whom advantages are told (default: greedy where it is known, else random)",
    )
    parsing.add_argument("--sessions", type=int, default=1000, help="of each (default: 1000)")
    parsing.add_argument("--seed", type=int, default=0, help="of all chance (default: 0)")
    parsing.add_argument(
        "--out",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="also write the tables to FILE.md, or all numbers to FILE.json",
    )
    return parsing


def main(command: str, arguments: list[str]) -> int:
    """Judge policies in several simulators and three modes."""
    chosen = parser().parse_args(arguments)
    if chosen.sessions < 2:
        raise RecipeError(f"--sessions must be at least 2, not {chosen.sessions}.")
    look_at(chosen.out)
    places = [place for text in chosen.simulators for place in places_of(text)]
    if len(places) > 26:
        raise RecipeError(f"{len(places)} simulators were named; judge at most 26 at once.")

    from lightrec.evaluation.judge import judge_all, markdown

    found = judge_all(
        places, chosen.policy, chosen.modes, chosen.sessions, chosen.seed, over=chosen.over
    )
    text = markdown(found)
    print(text, end="")
    write(chosen.out, text, found.plain())
    return 0


def places_of(text: str) -> "list[Place]":
    """Read a simulator's name: ``Greed``, ``Greed:seed=1,max_steps=20``, ``runs/video``.

    :returns: two for a run, its user models A and B.
    :raises RecipeError: where a setting is not of that form.
    """
    from lightrec.evaluation.judge import Place

    what, _, rest = text.partition(":")
    settings = dict(setting(each, "A simulator's setting") for each in rest.split(",") if each)
    path = Path(what)
    if path.name in MODELS and (path.parent / "data").is_dir():
        return [Place(str(path.parent), settings, path.name)]
    if path.is_dir():
        return [Place(what, settings, model) for model in MODELS]
    return [Place(what, settings)]


def look_at(out: list[Path]) -> None:
    """Refuse files of another kind before any work is done.

    :raises RecipeError: that says which are possible.
    """
    for path in out:
        if path.suffix not in (".md", ".json"):
            raise RecipeError(f"--out writes files that end in .md or .json, and not {path}.")


def write(out: list[Path], text: str, values: object) -> None:
    """Write what was printed, and what it was made of."""
    for path in out:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = json.dumps(values, indent=2) + "\n" if path.suffix == ".json" else text
        path.write_text(whole, encoding="utf-8")
