"""`lightrec fit`, `validate` and `test`: LightningCLI on one recipe."""

from pathlib import Path

from lightrec.errors import RecipeError, RunError
from lightrec.pipeline import recipes
from lightrec.pipeline.stage import INPUTS, Stage


def parse(command: str, arguments: list[str]) -> Stage:
    """Turn LightningCLI arguments into a stage.

    :raises RecipeError: where the recipe or the folder to leave is not told.
    """
    recipe, out, overrides = None, None, []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name in ("-c", "--config"):
            recipe = recipes.find(value if equals else next(rest, ""))
        elif name == "--out":
            out = Path(value if equals else next(rest, ""))
        else:
            overrides.append(argument)
    if recipe is None:
        raise RecipeError(
            f"`lightrec {command}` needs a recipe, for example: lightrec {command} -c "
            "video/encoder. `lightrec recipes list` shows those that are installed."
        )
    usual = f"runs/{recipe.parent.name}/{recipe.stem}"
    out = out or Path(str(recipes.read(recipe).get("out", usual)))
    if out.name not in INPUTS:
        raise RecipeError(
            f"The folder {out} must be named after a stage ({', '.join(INPUTS)}), because the "
            "stages after it look for it there."
        )
    return Stage(out.name, recipe, out, overrides)


def main(command: str, arguments: list[str]) -> int:
    """Train, validate or test one stage; `--help` shows every setting."""
    from lightrec.pipeline import train

    if "-h" in arguments or any(a.startswith(("--help", "--print_config")) for a in arguments):
        train.RecipeCLI(resolve(arguments), None, command)
        return 0
    stage = parse(command, arguments)
    if command == "fit":
        train.train(stage)
        print(f"{stage.name}: {stage.out}")
        return 0
    checkpoint = stage.out / train.CHECKPOINT
    if not checkpoint.is_file():
        raise RunError(f"There is no {checkpoint}: train first with `lightrec fit`.")
    train.assess(stage, command, checkpoint)
    return 0


def resolve(arguments: list[str]) -> list[str]:
    """Replace recipe names by files, so that LightningCLI finds them."""
    return [
        str(recipes.find(argument)) if before in ("-c", "--config") else argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
    ]
