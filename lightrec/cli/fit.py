"""`lightrec fit`, `validate` and `test`: LightningCLI on one recipe."""

import inspect
import json
import re
import textwrap
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any

import yaml

from lightrec import plugins
from lightrec.cli.command import Function, documented, parser_of, with_options_of
from lightrec.errors import RecipeError, RunError
from lightrec.moved import moved
from lightrec.stages import recipes, redo
from lightrec.stages.recipes import Recipe
from lightrec.stages.stage import Stage
from lightrec.trust import described

Config = Annotated[
    Sequence[str] | None,
    "the recipe: a YAML file, or a name such as video/ranker; further ones are laid over it",
    "-c",
]
Out = Annotated[Path | None, "the folder that the stage leaves (default: the recipe's)"]
Help = Annotated[bool, "show this; with -c RECIPE, its stage's settings as well", "-h"]
HelpTrainer = Annotated[bool, "show the settings of Lightning's Trainer, --trainer.…"]
REFERENCE = r":\w+:`~?(?:\w+\.)*(\w+)`"
"""References to code in docstrings."""
LINKED = "linked from the data"
"""So a parameter's help begins that nobody sets."""


def fit(
    *settings: str,
    config: Config = None,
    out: Out = None,
    help: Help = False,
    help_trainer: HelpTrainer = False,
) -> None:
    """Train one stage from its recipe, as LightningCLI does.

    Every setting can be given on the line, as --SETTING VALUE. `lightrec fit -c RECIPE --help`
    lists those of the stage's model and data, `--print_config` prints all with their values.

    examples:
      lightrec fit -c video/ranker --trainer.max_epochs 5
      lightrec fit -c my_ranker.yaml --out runs/mine/ranker
      lightrec fit -c video/ranker --print_config
    """
    stage = _stage(fit, "fit", settings, config, out, help, help_trainer)
    if stage is not None:
        from lightrec.stages.run import execute

        # A process that joins the first one's training writes nothing.
        with nullcontext() if redo.joins() else redo.alone(stage.run, "fit"):
            execute(stage)
        print(f"{stage.name}: {stage.out}")


@with_options_of(fit)
def validate(*settings: str, **options: Any) -> None:
    """Validate one trained stage; takes what `lightrec fit` takes.

    example:
      lightrec validate -c video/ranker
    """
    _assess(validate, "validate", settings, **options)


@with_options_of(fit)
def assess_test(*settings: str, **options: Any) -> None:
    """Test one trained stage; takes what `lightrec fit` takes.

    example:
      lightrec test -c video/ranker
    """
    _assess(assess_test, "test", settings, **options)


def stage_of(
    command: str, settings: Sequence[str], config: Sequence[str] | None, out: Path | None = None
) -> Stage:
    """The stage of a recipe.

    :param settings: LightningCLI's, before those of the recipe.
    :param config: the recipe, and others that are laid over it in their order.
    :raises RecipeError: where there is no recipe, its stage trains nothing, or the folder to leave
        is not called as a stage.
    """
    if not config:
        raise RecipeError(
            f"`lightrec {command}` needs a recipe, for example: lightrec {command} -c "
            "video/ranker. `lightrec recipes list` shows those that are installed."
        )
    name, recipe = recipes.find(config[0])
    for more in config[1:]:
        recipe = recipes.merged(recipe, recipes.find(more)[1])
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


def settings_help(recipe: Recipe) -> str:
    """List the settings of a recipe's model and data, with their values and what they mean."""
    parts = plugins.installed().every_part
    lines = []
    for section in ("model", "data"):
        named, arguments = recipe[section]["class_path"], recipe[section].get("init_args") or {}
        matching = [part for part in parts if part.name == named]
        kind = matching[0].load() if matching else resolve_name(moved(named))
        text, helps = documented(kind)
        lines += ["", f"{section}: {kind.__name__}", f"  {text.partition(chr(10))[0]}"]
        for name, parameter in inspect.signature(kind).parameters.items():
            said = helps.get(name, "")
            if said.startswith(LINKED) or parameter.kind is parameter.VAR_KEYWORD:
                continue
            value = arguments.get(name, parameter.default)
            shown = "" if value is parameter.empty else textwrap.shorten(_written(value), 50)
            lines.append(f"  --{section}.init_args.{name} {shown}".rstrip())
            indent = " " * 6
            lines += textwrap.wrap(said, 100, initial_indent=indent, subsequent_indent=indent)
    return re.sub(REFERENCE, r"\1", "\n".join(lines)).replace("``", "`") + "\n"


def _written(value: object) -> str:
    """Write a setting as on the command line."""
    plain = json.loads(json.dumps(described(value), default=str))
    text = yaml.safe_dump(plain, default_flow_style=True, width=10_000)
    return text.removesuffix("...\n").strip()


def _stage(
    function: Function,
    command: str,
    settings: Sequence[str],
    config: Sequence[str] | None,
    out: Path | None,
    help: bool,
    help_trainer: bool,
) -> Stage | None:
    """The stage that is meant; None where help or settings were asked for, and are printed."""
    if help and not help_trainer:
        print(parser_of(function, command).format_help(), end="")
        if config is not None:
            print(settings_help(stage_of(command, (), config).recipe), end="")
        return None
    shows_settings = any(word.startswith("--print_config") for word in settings)
    if not (help_trainer or shows_settings):
        return stage_of(command, settings, config, out)
    from lightrec.stages import train

    if help_trainer:
        print(train.trainer_help(), end="")
    else:
        words = train.arguments(stage_of(command, settings, config, out)) if config else [*settings]
        train.RecipeCLI(words, None, command)
    return None


def _assess(function: Function, command: str, settings: Sequence[str], **options: Any) -> None:
    stage = _stage(function, command, settings, **options)
    if stage is not None:
        from lightrec.stages import train

        checkpoint = stage.out / train.CHECKPOINT
        if not checkpoint.is_file():
            raise RunError(f"There is no {checkpoint}: train first with `lightrec fit`.")
        with redo.alone(stage.run, command):  # it draws curves
            cli = train.RecipeCLI(train.arguments(stage), stage, command)
            getattr(cli.trainer, command)(cli.model, cli.datamodule, ckpt_path=str(checkpoint))
