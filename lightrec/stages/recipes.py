"""Finding recipes and reading them as plain YAML, without importing anything heavy."""

from pathlib import Path

import yaml

from lightrec import plugins
from lightrec.errors import RecipeError

Recipe = dict[str, object]


def folder(name: str) -> Path:
    """Find a set of recipes by name, or as a folder.

    :raises RecipeError: where there is none.
    """
    if Path(name).is_dir() and any(Path(name).glob("*.yaml")):
        return Path(name)
    found = plugins.installed()
    if name in found.parts[plugins.RECIPES]:
        return Path(found.parts[plugins.RECIPES][name].path)
    if (plugins.RECIPES, name) in found.refused:
        raise RecipeError(found.refused[plugins.RECIPES, name])
    known = ", ".join(sorted({*found.parts[plugins.RECIPES], *found.parts["domains"]}))
    raise RecipeError(
        f"There is no set of recipes and no domain {name!r}, neither installed nor as a folder "
        f"with YAML files. Installed are: {known}. `lightrec recipes list` and `lightrec plugins "
        "list` show more."
    )


def find(name: str) -> Path:
    """Find one recipe, by file or as ``video/ranker``.

    :raises RecipeError: where there is none.
    """
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix not in (".yaml", ".yml") and path.parent.name:
        candidate = folder(str(path.parent)) / f"{path.name}.yaml"
        if candidate.is_file():
            return candidate
    raise RecipeError(
        f"There is no recipe {name!r}: expected a YAML file, or a name such as video/ranker. "
        "`lightrec recipes list` shows those that are installed."
    )


def read(path: Path) -> Recipe:
    """Read a recipe.

    :raises RecipeError: where it is no YAML mapping.
    """
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise RecipeError(f"The recipe {path} is not valid YAML: {error}") from error
    if not isinstance(recipe, dict):
        raise RecipeError(f"The recipe {path} must be a mapping of settings, not {recipe!r}.")
    return recipe
