"""`lightrec probe`."""

import argparse
from pathlib import Path

from lightrec.cli.judge import look_at, write
from lightrec.cli.simulate import setting
from lightrec.errors import RecipeError

EXAMPLES = """examples:
  lightrec probe Greed
  lightrec probe Greed --mode fixed --set slate_size=3
  lightrec probe runs/video --policy policy greedy --out probed.md probed.json
  lightrec probe VirtualTaobao --set folder=VirtualTaobao

The best action that is the same for everybody is searched (a list of items, one item where it may
be shown again and again, or weights of attributes), and played beside random ones, a world's oracle
and the policies that are named. The rule by which a simulator has a hole stands in the
documentation: docs/how-to/judge.md.
"""


def parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parsing = argparse.ArgumentParser(
        prog="lightrec probe",
        description="Find out whether a simulator pays for what no real user would reward.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parsing.add_argument("what", help="a world's name, a run folder, or VirtualTaobao")
    parsing.add_argument(
        "--policy", nargs="+", default=[], metavar="NAME", help="to stand beside (default: none)"
    )
    parsing.add_argument(
        "--mode",
        choices=["free", "no-repeats", "fixed"],
        default="free",
        help="of judging (default: free)",
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
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings of the simulator"
    )
    parsing.add_argument(
        "--out",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="also write the verdict to FILE.md, or all numbers to FILE.json",
    )
    return parsing


def main(command: str, arguments: list[str]) -> int:
    """Find out whether a simulator pays for what nobody would."""
    chosen = parser().parse_args(arguments)
    if chosen.sessions < 2:
        raise RecipeError(f"--sessions must be at least 2, not {chosen.sessions}.")
    look_at(chosen.out)
    settings = dict(map(setting, chosen.set))

    from lightrec.evaluation.probe import probe
    from lightrec.evaluation.sections import to_plain

    found = probe(
        chosen.what,
        chosen.policy,
        chosen.mode,
        chosen.sessions,
        chosen.seed,
        settings,
        chosen.model,
    )
    text = found.markdown()
    print(text, end="")
    write(chosen.out, text, to_plain(found))
    return 0
