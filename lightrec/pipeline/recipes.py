"""Finding recipes and reading them as plain YAML, without importing anything heavy."""

from pathlib import Path

import yaml

from lightrec import plugins
from lightrec.errors import RecipeError

Recipe = dict[str, object]


def folders(found: plugins.Plugins | None = None) -> dict[str, Path]:
    """Give every installed set of recipes: name and folder."""
    found = found or plugins.installed()
    sets: dict[str, Path] = {}
    for root in found.recipe_folders:
        for folder in sorted(path for path in root.iterdir() if path.is_dir()):
            sets.setdefault(folder.name, folder)
    return sets


def folder(name: str) -> Path:
    """Find a set of recipes by name, or as a folder.

    :raises RecipeError: where there is none.
    """
    if Path(name).is_dir() and any(Path(name).glob("*.yaml")):
        return Path(name)
    known = folders()
    if name not in known:
        raise RecipeError(
            f"There is no set of recipes {name!r}, neither installed nor as a folder with YAML "
            f"files. Installed are: {', '.join(known)}. `lightrec recipes list` shows them all."
        )
    return known[name]


def find(name: str) -> Path:
    """Find one recipe, by file or as ``video/encoder``.

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
        f"There is no recipe {name!r}: expected a YAML file, or a name such as video/encoder. "
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
