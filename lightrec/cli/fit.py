"""`lightrec fit`, `validate` and `test`: LightningCLI on one recipe."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from lightrec.errors import RecipeError, RunError
from lightrec.stages import recipes
from lightrec.stages.stage import Stage

Config = Annotated[str | None, "the recipe: a YAML file, or a name such as video/ranker", "-c"]
Out = Annotated[Path | None, "the folder that the stage leaves (default: the recipe's)"]
Help = Annotated[bool, "show every setting of the recipe", "-h"]


def fit(*settings: str, config: Config = None, out: Out = None, help: Help = False) -> None:
    """Train one stage from its recipe, as LightningCLI does.

    Every setting of the recipe can be given on the line; `lightrec fit -c RECIPE --help` shows them
    all, `--print_config` with their values.

    examples:
      lightrec fit -c video/ranker --trainer.max_epochs 5
      lightrec fit -c my_ranker.yaml --out runs/mine/ranker
      lightrec fit -c video/ranker --print_config
    """
    if (stage := _stage("fit", settings, config, out, help)) is not None:
        from lightrec.stages import train

        train.train(stage)
        print(f"{stage.name}: {stage.out}")


def validate(*settings: str, config: Config = None, out: Out = None, help: Help = False) -> None:
    """Validate one trained stage; takes what `lightrec fit` takes."""
    _assess("validate", _stage("validate", settings, config, out, help))


def assess_test(*settings: str, config: Config = None, out: Out = None, help: Help = False) -> None:
    """Test one trained stage; takes what `lightrec fit` takes."""
    _assess("test", _stage("test", settings, config, out, help))


def stage_of(
    command: str, settings: Sequence[str], config: str | None, out: Path | None = None
) -> Stage:
    """Give the stage of a recipe.

    :param settings: LightningCLI's, before those of the recipe.
    :raises RecipeError: where there is no recipe, its stage trains nothing, or the folder to leave
        is not called as a stage.
    """
    if config is None:
        raise RecipeError(
            f"`lightrec {command}` needs a recipe, for example: lightrec {command} -c "
            "video/ranker. `lightrec recipes list` shows those that are installed."
        )
    name, recipe = recipes.find(config)
    out = out or Path(str(recipe.get("out", f"runs/{name}")))
    stages = {*recipes.load("generic").recipes, Path(name).name}
    if out.name not in stages:
        raise RecipeError(
            f"The folder {out} must be named after a stage ({', '.join(sorted(stages))}), because "
            "the stages after it look for it there."
        )
    stage = Stage(out.name, recipe, out, settings)
    if stage.function:
        raise RecipeError(
            f"The stage {stage.name} trains nothing, so that there is nothing to {command}: "
            "`lightrec run` does it, together with the stages that it reads. Name the recipe of "
            "one that trains, such as video/ranker."
        )
    return stage


def _stage(
    command: str, settings: Sequence[str], config: str | None, out: Path | None, help: bool
) -> Stage | None:
    """Give the stage that is meant; None where all settings were to be shown, and have been."""
    if help or any(word.startswith("--print_config") for word in settings):
        from lightrec.stages import train

        own = train.arguments(stage_of(command, settings, config, out)) if config else [*settings]
        train.RecipeCLI([*own, *(["--help"] if help else [])], None, command)
        return None
    return stage_of(command, settings, config, out)


def _assess(command: str, stage: Stage | None) -> None:
    if stage is not None:
        from lightrec.stages import train

        checkpoint = stage.out / train.CHECKPOINT
        if not checkpoint.is_file():
            raise RunError(f"There is no {checkpoint}: train first with `lightrec fit`.")
        cli = train.RecipeCLI(train.arguments(stage), stage, command)
        getattr(cli.trainer, command)(cli.model, cli.datamodule, ckpt_path=str(checkpoint))
