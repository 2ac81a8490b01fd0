"""`lightrec recipes`: list recipes, show them merged, copy some to change them."""

import shutil
from pathlib import Path

import yaml

from lightrec import plugins
from lightrec.errors import RecipeError
from lightrec.stages import recipes


def list_recipes() -> None:
    """List the installed recipes.

    A set that is laid over another shows the files in which it differs.

    example:
      lightrec recipes list
    """
    for part in plugins.installed().parts[plugins.RECIPES].values():
        for path in sorted(Path(part.path).glob("*.yaml")):
            print(f"{f'{part.name}/{path.stem}':<24} {part.distribution:<24} {path}")


def show(name: str) -> None:
    """Show recipes as a run takes them: merged with those that they are laid over.

    examples:
      lightrec recipes show video
      lightrec recipes show video/ranker

    :param name: such as video or video/ranker.
    """
    print(_written(name), end="")


def copy(name: str, to: Path) -> None:
    """Copy a set of recipes (video) or one recipe (video/ranker), to change it.

    A set is copied as it is; what it is laid over stays where it is. One recipe is copied merged
    where it belongs to a set, so that it stands by itself.

    examples:
      lightrec recipes copy video my_video
      lightrec recipes copy video/ranker my_ranker.yaml

    :param name: such as video or video/ranker.
    :param to: the folder or file to write.
    """
    if to.exists():
        raise RecipeError(f"{to} exists already; name a path that does not.")
    if _is_one(name):
        path = Path(name)
        if not path.is_file():
            path = recipes.folder(str(path.parent)) / f"{path.name}.yaml"
        alone = path.is_file() and not (path.parent / recipes.SET).is_file()
        to.write_text(path.read_text("utf-8") if alone else _written(name), "utf-8")
    else:
        shutil.copytree(recipes.folder(name), to)
    print(to)


def _is_one(name: str) -> bool:
    return Path(name).is_file() or ("/" in name and not Path(name).is_dir())


def _written(name: str) -> str:
    """Write recipes as YAML, those of a set one document after the other."""
    if _is_one(name):
        by_title = dict([recipes.find(name)])
    else:
        whole = recipes.load(name)
        order = recipes.in_order(whole.recipes)
        by_title = {f"{whole.name}/{stage}": whole.resolved(stage) for stage in order}
        if whole.overlay:
            files = sorted(recipes.folder(name).glob("*.yaml"))
            by_title = {f"{whole.name}/{path.stem}": recipes.read(path) for path in files}
    texts = [
        f"# {title}\n{yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)}"
        for title, recipe in by_title.items()
    ]
    return "---\n".join(texts)
