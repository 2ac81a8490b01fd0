"""`lightrec run`."""

import argparse
from collections.abc import Collection
from pathlib import Path

from lightrec.errors import RecipeError
from lightrec.stages import recipes
from lightrec.stages.run import VALUES, find_recipes, run

EXAMPLES = """examples:
  lightrec run video
  lightrec run video --offline
  lightrec run video --fast-dev-run
  lightrec run generic --log my.csv --items my_items.csv --out runs/mine
  lightrec run generic --log my.csv --data.columns '{user: customer, item: sku, time: ts}'
  lightrec run video --ranker.trainer.max_epochs 5 --policy.data.init_args.slate_size 3

Any setting of any stage's recipe can be given as --STAGE.SETTING VALUE, and values that several
recipes share as --values.NAME VALUE; `lightrec recipes show video` shows stages and settings.
"""


def stage_overrides(arguments: list[str], stages: Collection[str]) -> dict[str, list[str]]:
    """Sort ``--ranker.trainer.max_epochs 5`` into ``{"ranker": ["--trainer.max_epochs", "5"]}``.

    :param stages: of the run.
    :raises RecipeError: where an argument belongs to no stage.
    """
    overrides: dict[str, list[str]] = {}
    stage: str | None = None
    for argument in arguments:
        if argument.startswith("--"):
            head, dot, tail = argument[2:].partition(".")
            if not dot or head not in (*stages, VALUES):
                raise RecipeError(
                    f"There is no option {argument.partition('=')[0]}. `lightrec run --help` "
                    f"lists them; a stage's setting begins with one of {', '.join(stages)}."
                )
            stage = head
            overrides.setdefault(stage, []).append(f"--{tail}")
        elif stage is None:
            raise RecipeError(f"I do not know what to do with the argument {argument!r}.")
        else:
            overrides[stage].append(argument)
    return overrides


def parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parsing = argparse.ArgumentParser(
        prog="lightrec run",
        description="Do the stages in order, skipping those whose inputs have not changed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parsing.add_argument(
        "domain", help="a set of recipes or a domain such as video, or a folder of recipes"
    )
    parsing.add_argument("--out", type=Path, help="the run folder (default: runs/DOMAIN)")
    parsing.add_argument("--log", type=Path, help="your log (default: the domain's sample)")
    parsing.add_argument("--items", type=Path, help="your item table")
    parsing.add_argument("--users", type=Path, help="your user table")
    parsing.add_argument("--offline", action="store_true", help="use the synthetic world 'far'")
    parsing.add_argument("--seed", type=int, help="the seed of every stage")
    parsing.add_argument("--fresh", action="store_true", help="do every stage anew")
    parsing.add_argument(
        "--fast-dev-run",
        action="store_true",
        help="one batch of each training, to see whether everything fits together",
    )
    parsing.add_argument(
        "--until",
        metavar="STAGE",
        help="the last stage to do, such as ranker (default: all but optional ones; assumptions is "
        "one)",
    )
    parsing.add_argument("--strict", action="store_true", help="refuse to run with broken plugins")
    return parsing


def main(command: str, arguments: list[str]) -> int:
    """Do all stages in order, skipping what has not changed."""
    known, rest = parser().parse_known_args(arguments)
    _, found = find_recipes(known.domain)
    where = run(**vars(known), overrides=stage_overrides(rest, recipes.in_order(found.recipes)))
    for name in recipes.until(found.recipes, known.until):
        shown = recipes.names(found.recipes[name], "shows")
        if "summary.txt" in shown:
            print((where / "summary.txt").read_text(), end="")
        if (report := where / name / "report.html").is_file():
            at_top = "report.html" in shown
            print(f"report: {where / 'report.html'}" if at_top else f"{name}: {report}")
    return 0
