"""`lightrec fit`, `validate` and `test`: LightningCLI on one recipe."""

import argparse
from pathlib import Path

from lightrec.errors import RecipeError, RunError
from lightrec.stages import recipes
from lightrec.stages.stage import Stage


def parser() -> argparse.ArgumentParser:
    """Give the parser of what lightrec itself adds; the rest is LightningCLI's."""
    parsing = argparse.ArgumentParser(
        prog="lightrec fit",
        usage="lightrec fit -c RECIPE [--out FOLDER] [--SETTING VALUE ...]",
        description="Train one stage from its recipe, as LightningCLI does. Every setting of the "
        "recipe can be given on the line, and `lightrec fit -c RECIPE --help` shows them all, "
        "`--print_config` with their values.",
        epilog="examples:\n  lightrec fit -c video/ranker --trainer.max_epochs 5\n"
        "  lightrec fit -c my_ranker.yaml --out runs/mine/ranker\n"
        "  lightrec fit -c video/ranker --print_config",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parsing.add_argument(
        "-c", "--config", metavar="RECIPE", help="a YAML file, or a name such as video/ranker"
    )
    parsing.add_argument(
        "--out", type=Path, help="the folder that the stage leaves (default: the recipe's)"
    )
    return parsing


def parse(command: str, arguments: list[str]) -> Stage:
    """Turn LightningCLI arguments into a stage.

    :raises RecipeError: where the recipe or the folder to leave is not told.
    """
    known, overrides = parser().parse_known_args(arguments)
    if known.config is None:
        raise RecipeError(
            f"`lightrec {command}` needs a recipe, for example: lightrec {command} -c "
            "video/ranker. `lightrec recipes list` shows those that are installed."
        )
    name, recipe = recipes.find(known.config)
    out = known.out or Path(str(recipe.get("out", f"runs/{name}")))
    stages = {*recipes.load("generic").recipes, Path(name).name}
    if out.name not in stages:
        raise RecipeError(
            f"The folder {out} must be named after a stage ({', '.join(sorted(stages))}), because "
            "the stages after it look for it there."
        )
    return Stage(out.name, recipe, out, overrides)


def fit(command: str, arguments: list[str]) -> int:
    """Train one stage from its recipe."""
    if (stage := _stage(command, arguments)) is not None:
        from lightrec.stages import train

        train.train(stage)
        print(f"{stage.name}: {stage.out}")
    return 0


def validate(command: str, arguments: list[str]) -> int:
    """Validate one trained stage."""
    return _assess(command, arguments)


def test(command: str, arguments: list[str]) -> int:
    """Test one trained stage."""
    return _assess(command, arguments)


def _assess(command: str, arguments: list[str]) -> int:
    if (stage := _stage(command, arguments)) is not None:
        from lightrec.stages import train

        checkpoint = stage.out / train.CHECKPOINT
        if not checkpoint.is_file():
            raise RunError(f"There is no {checkpoint}: train first with `lightrec fit`.")
        train.assess(stage, command, checkpoint)
    return 0


def _stage(command: str, arguments: list[str]) -> Stage | None:
    """Give the stage that is meant; None where all settings were to be shown, and have been."""
    if "-h" in arguments or any(a.startswith(("--help", "--print_config")) for a in arguments):
        from lightrec.stages import train

        shown = [a for a in arguments if a in ("-h", "--help")]
        given = [a for a in arguments if a not in shown]
        if any(a in ("-c", "--config") or a.startswith("--config=") for a in given):
            given = train.arguments(parse(command, given))
        train.RecipeCLI([*given, *shown], None, command)
        return None
    stage = parse(command, arguments)
    if stage.function:
        raise RecipeError(
            f"The stage {stage.name} trains nothing: `lightrec run` does it, together with the "
            "stages that it reads."
        )
    return stage
