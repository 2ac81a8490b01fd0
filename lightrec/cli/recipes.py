"""`lightrec recipes`: list recipes, copy some to change them."""

import shutil
from pathlib import Path

from lightrec import plugins
from lightrec.errors import RecipeError
from lightrec.stages import recipes


def list_recipes() -> None:
    """List the installed recipes.

    example:
      lightrec recipes list
    """
    for part in plugins.installed().parts[plugins.RECIPES].values():
        for path in sorted(Path(part.path).glob("*.yaml")):
            print(f"{f'{part.name}/{path.stem}':<24} {part.distribution:<24} {path}")


def copy(name: str, to: Path) -> None:
    """Copy a set of recipes (video) or one recipe (video/ranker), to change it.

    examples:
      lightrec recipes copy video my_video
      lightrec recipes copy video/ranker my_ranker.yaml

    :param name: such as video or video/ranker.
    :param to: the folder or file to write.
    """
    if to.exists():
        raise RecipeError(f"{to} exists already; name a path that does not.")
    if "/" in name or Path(name).is_file():
        shutil.copyfile(recipes.find(name), to)
    else:
        shutil.copytree(recipes.folder(name), to)
    print(to)
