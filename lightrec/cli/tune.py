"""`lightrec tune`."""

import argparse
import importlib.util
from pathlib import Path

from lightrec.cli import fit
from lightrec.errors import RecipeError
from lightrec.stages import space as spaces

EXAMPLES = """examples:
  lightrec tune -c video/ranker --trials 30
  lightrec tune -c video/ranker --print-space > space.yaml
  lightrec tune -c video/ranker --space space.yaml --trials 30
  lightrec tune -c generic/ranker --run runs/mine --out runs/mine/tune --trainer.max_epochs 5

The space names settings of the recipe, each with a range or a list of choices:
  model.init_args.learning_rate: {low: 0.0003, high: 0.01, log: true}
  model.init_args.tower.init_args.layers: [1, 2, 3]

The same command goes on where it was stopped; with more trials it adds to those there are.
"""


def parser() -> argparse.ArgumentParser:
    """Give the parser of what lightrec itself adds; the rest are settings of the recipe."""
    parsing = argparse.ArgumentParser(
        prog="lightrec tune",
        usage="lightrec tune -c RECIPE [--space FILE] [--trials N] [--run FOLDER] [--out FOLDER] "
        "[--SETTING VALUE ...]",
        description="Search a stage's best settings with Optuna, judged by validation alone.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parsing.add_argument(
        "-c", "--config", metavar="RECIPE", help="a YAML file, or a name such as video/ranker"
    )
    parsing.add_argument(
        "--space", type=Path, metavar="FILE", help="what is searched (default: the stage's own)"
    )
    parsing.add_argument(
        "--print-space", action="store_true", help="print what would be searched, and stop"
    )
    parsing.add_argument(
        "--trials",
        type=int,
        default=20,
        metavar="N",
        help="how many in all, those of earlier calls included (default: 20)",
    )
    parsing.add_argument(
        "--run", type=Path, metavar="FOLDER", help="the run to read from (default: the recipe's)"
    )
    parsing.add_argument(
        "--out", type=Path, metavar="FOLDER", help="the folder to leave (default: RUN/tune-STAGE)"
    )
    parsing.add_argument(
        "--no-pruning", action="store_true", help="train every trial to its end, however bad"
    )
    return parsing


def main(command: str, arguments: list[str]) -> int:
    """Search the best settings of one stage."""
    chosen, overrides = parser().parse_known_args(arguments)
    if chosen.trials < 1:
        raise RecipeError(f"--trials must be at least 1, not {chosen.trials}.")
    stage = fit.parse(command, ["-c", chosen.config, *overrides] if chosen.config else [])
    if chosen.run is not None:
        stage = fit.parse(
            command, ["-c", chosen.config, "--out", str(chosen.run / stage.name), *overrides]
        )
    if chosen.print_space:
        print(chosen.space.read_text() if chosen.space else spaces.default(stage.name), end="")
        return 0
    space = choose_space(chosen.space, stage.name, overrides)
    if importlib.util.find_spec("optuna") is None:
        raise RecipeError(
            "lightrec tune searches with Optuna, which is not installed. Install it with "
            "`pip install optuna`, or together with lightrec as its extra 'tune'."
        )
    from lightrec.stages import tune_report
    from lightrec.stages.tune import Search

    out = chosen.out or stage.run / f"tune-{stage.name}"
    search = Search(stage, space, out, prune=not chosen.no_pruning)
    search.run(chosen.trials)
    tune_report.write(search)
    print(tune_report.table(search), end="")
    print(f"best recipe: {out / tune_report.BEST}\npicture: {out / tune_report.PICTURE}")
    return 0


def choose_space(path: Path | None, stage: str, overrides: list[str]) -> spaces.Space:
    """Read a space, or take the stage's own without what the command line fixes.

    :raises RecipeError: where a file names a setting that is fixed, or nothing is left.
    """
    fixed = {word[2:].partition("=")[0] for word in overrides if word.startswith("--")}
    if path is None:
        space = spaces.parse(spaces.default(stage), "the default space")
        space = {name: given for name, given in space.items() if name not in fixed}
        if not space:
            raise RecipeError("Every setting of the default space is given on the line.")
        return space
    space = spaces.read(path)
    for name in space:
        if name in fixed:
            raise RecipeError(
                f"--{name} is given on the line and searched by {path}: leave out one of them."
            )
    return space
