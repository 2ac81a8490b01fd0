"""Recipes: found by name, laid over each other, in the order in which their stages run.

A recipe is one stage's YAML. Next to the stage's settings it says what it ``reads``, where the
stage trains nothing which ``function`` runs it, and which stage it is ``like`` where its settings
are laid over another's. Recipes in one folder are a set. Its ``set.yaml``
may name the sets that it is laid ``over``, ``values`` that several recipes refer to as ``${name}``,
settings of every ``trained`` stage, and stages that it does ``without``. Nothing heavy is imported
here.
"""

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lightrec import plugins
from lightrec.data.files import is_plain
from lightrec.errors import RecipeError, no_such
from lightrec.moved import hint, is_gone, moved

Recipe = dict[str, Any]

SET = "set.yaml"
ABOUT_STAGE = ("reads", "function", "optional", "shows", "out", "like")
"""Keys of a recipe that say what its stage is; all others are its settings."""
OF_SET = ("over", "values", "trained", "without", "overlay")
"""Keys of a set's own file."""
TRAINED = "trainer"
"""The key by which a stage that is trained is known."""


@dataclass
class RecipeSet:
    """The recipes of a run, merged from a set and those that it is laid over.

    :param name: what the run goes by.
    :param recipes: by stage; values are still referred to.
    :param values: what ``${name}`` stands for.
    :param overlay: whether the set only changes others, and makes no run by itself.
    """

    name: str
    recipes: dict[str, Recipe] = field(default_factory=dict)
    values: Recipe = field(default_factory=dict)
    overlay: bool = False

    def lay(self, folder: Path) -> None:
        """Lay a folder of recipes over these, file by file and key by key.

        An overlay changes stages that are there; another set adds its own. Stages that the set does
        without are taken away, and with them those that read them in the end.

        :raises RecipeError: where a file is no recipe.
        """
        about = about_set(folder)
        self.values |= about["values"]
        laid = {path.stem: read(path) for path in sorted(folder.glob("*.yaml")) if path.name != SET}
        for name, recipe in laid.items():
            if name in self.recipes or not about["overlay"]:
                # What the folder says of all that are trained goes before what it says of one.
                self.recipes[name] = merged(self.recipes.get(name, {}), recipe)
        for name, recipe in self.recipes.items():
            if TRAINED in recipe and "like" not in recipe:
                self.recipes[name] = merged(merged(recipe, about["trained"]), laid.get(name, {}))
        gone = {*names(about, "without")}
        while gone:
            self.recipes = {n: recipe for n, recipe in self.recipes.items() if n not in gone}
            gone = {n for n, recipe in self.recipes.items() if gone.intersection(names(recipe))}

    def resolved(self, name: str) -> Recipe:
        """A stage's recipe with its values in their places; ``${run}`` stays.

        :raises RecipeError: where it refers to a value that is not there.
        """
        recipe = self.recipes[name]
        if (like := recipe.get("like")) is not None:
            if like not in self.recipes:
                raise RecipeError(f"The recipe {name} is like the stage {like}: there is none.")
            recipe = merged(settings(self.recipes[like]), recipe)
        return _resolved(recipe, {"run": "${run}", **self.values}, name)

    def words(self, name: str) -> list[str]:
        """Write what a stage's recipe says over another that it is ``like`` as a command line."""
        pairs = flat(settings(self.recipes[name]))
        return [f"--{key}={x if isinstance(x, str) else json.dumps(x)}" for key, x in pairs]


def about_set(folder: Path) -> Recipe:
    """Read a set's own file; all it may say is there, if only empty.

    :raises RecipeError: where it is no recipe, says something else, or ``values`` or ``trained``
        are no mappings.
    """
    path = folder / SET
    said = read(path) if path.is_file() else {}
    for misnamed in sorted(folder.glob("*.yml")):
        plugins.warn(f"{misnamed} is not read as a recipe: these end in .yaml.")
    if unknown := [key for key in said if key not in OF_SET]:
        raise RecipeError(f"In {path}, {no_such('a key of a set of recipes', unknown[0], OF_SET)}")
    for key in ("values", "trained"):
        said[key] = said.get(key) or {}
        if not isinstance(said[key], dict):
            raise RecipeError(f"`{key}` in {path} must be a mapping, not {said[key]!r}.")
    over = said.get("over") or []
    said["over"] = over if isinstance(over, list) else [over]
    return said | {"overlay": bool(said.get("overlay"))}


def load(
    name: str, overlays: Iterable[str] = (), values: Mapping[str, object] | None = None
) -> RecipeSet:
    """Load an installed set, or a folder, with all that it is laid over.

    :param overlays: names or folders of sets that are laid over it.
    :param values: in place of the set's own; ``name.argument`` is an argument of the class that a
        value names.
    :raises RecipeError: where there is no such set, or a file in it is no recipe.
    """
    path = folder(name)
    whole = RecipeSet(path.resolve().name, overlay=about_set(path)["overlay"])
    for layer in [*_layers(path, ()), *map(folder, overlays)]:
        whole.lay(layer)
    if unknown := {name.partition(".")[0] for name in values or {}} - set(whole.values):
        raise RecipeError(
            f"There is no value {sorted(unknown)[0]!r} among those that the recipes of {name} "
            f"share: {', '.join(whole.values) or 'there is none'}."
        )
    for key, value in (values or {}).items():
        name, dot, argument = key.partition(".")
        if dot:
            base = whole.values[name]
            named = base if isinstance(base, dict) else {"class_path": base}
            value = merged(named, {"init_args": {argument.removeprefix("init_args."): value}})
        whole.values[name] = value
    return whole


def take(whole: RecipeSet, stage: str, overlays: Iterable[str] = ()) -> None:
    """Add a stage that a set lacks and one other installed set has, such as a plugin's.

    With it come the stages that it reads in the end, as far as the set lacks them. Those that are
    there stay as they are.

    :param overlays: names or folders of sets that are laid over the other one.
    """
    paths = (Path(part.path) for part in plugins.installed().parts[plugins.RECIPES].values())
    having = [path for path in paths if (path / f"{stage}.yaml").is_file()]
    having = [path for path in having if not about_set(path)["overlay"]]
    if stage not in whole.recipes and len(having) == 1:
        other = load(str(having[0]), overlays)
        whole.values = other.values | whole.values
        for name in _read_by({stage}, other.recipes):
            whole.recipes.setdefault(name, other.recipes[name])


def _layers(path: Path, above: tuple[Path, ...]) -> list[Path]:
    """The folders that make a set, the lowest first."""
    if path in above:
        raise RecipeError(f"The set of recipes {path} is laid over itself: correct its {SET}.")
    over = [_layers(folder(str(name)), (*above, path)) for name in about_set(path)["over"]]
    return [*dict.fromkeys(layer for layers in over for layer in layers), path]


def folder(name: str) -> Path:
    """Find a set of recipes by name, or as a folder.

    :raises RecipeError: where there is none.
    """
    if Path(name).is_dir() and any(Path(name).glob("*.yaml")):
        return Path(name)
    installed = plugins.installed()
    sets, domains = (installed.parts[slot] for slot in (plugins.RECIPES, "domains"))
    if name in sets:
        return Path(sets[name].path)
    raise RecipeError(
        installed.refused.get((plugins.RECIPES, name))
        or f"There is no set of recipes and no domain {name!r}, neither installed nor as a folder "
        f"with YAML files. Installed are: {', '.join(sorted({*sets, *domains}))}. "
        f"`lightrec recipes list` and `lightrec plugins list` show more.{hint(name)}"
    )


def find(name: str) -> tuple[str, Recipe]:
    """Find one recipe, by file or as ``video/ranker``.

    A file in a folder with a ``set.yaml`` is a recipe of that set; any other stands by itself.

    :returns: the name of its set and its stage, such as ``video/ranker``, and the recipe.
    :raises RecipeError: where there is none.
    """
    path = Path(name)
    if path.is_file() and not (path.parent / SET).is_file():
        return f"{path.resolve().parent.name}/{path.stem}", read(path)
    if path.is_file() or (path.suffix not in (".yaml", ".yml") and path.parent.name):
        whole = load(str(path.parent))
        stage = path.stem if path.is_file() else path.name
        if stage in whole.recipes:
            return f"{whole.name}/{stage}", whole.resolved(stage)
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
    laid: Recipe = moved(recipe, path)
    return laid


def merged(base: Recipe, over: Recipe) -> Recipe:
    """Lay settings over others, key by key; lists are replaced whole.

    Where another class is named, the arguments of the one before do not count.
    """
    classes = {part["class_path"] for part in (base, over) if "class_path" in part}
    result = {} if len(classes) > 1 else copy.deepcopy(base)
    for key, value in over.items():
        both = isinstance(result.get(key), dict) and isinstance(value, dict)
        result[key] = merged(result[key], value) if both else copy.deepcopy(value)
    return result


def flat(settings: Recipe, above: str = "") -> Iterator[tuple[str, object]]:
    """Name settings as a command line does: ``model.init_args.size``."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def names(recipe: Recipe, key: str = "reads") -> list[str]:
    """Names that a recipe lists: the stages that it ``reads``, or the files that it ``shows``; or
    the stages that a set does ``without``.

    :raises RecipeError: where it is no list of names.
    """
    listed = recipe.get(key, [])
    if not isinstance(listed, list) or not all(map(is_plain, listed)):
        raise RecipeError(f"A recipe's `{key}` is a list of names, such as [data], not {listed!r}.")
    return listed


def settings(recipe: Recipe, run: Path | None = None) -> Recipe:
    """A copy of a recipe's settings alone, with a run's folder in place of ``${run}``."""
    kept = (key for key in recipe if key not in ABOUT_STAGE and not is_gone(key))
    copied = {key: copy.deepcopy(recipe[key]) for key in kept}
    return copied if run is None else _resolved(copied, {"run": str(run)}, "")


def in_order(recipes: Mapping[str, Recipe]) -> list[str]:
    """Name the stages, each after those that it reads, optional ones last.

    :raises RecipeError: where a stage reads one that is not there, or itself in the end.
    """
    order: list[str] = []

    def add(name: str, *above: str) -> None:
        if name in above:
            raise RecipeError(f"The stages {', '.join(above)} read each other in a circle.")
        if name not in recipes:
            raise RecipeError(
                f"The recipe {above[-1]} reads the stage {name}, of which there is no recipe. The "
                f"set has {', '.join(sorted(recipes))}. Add {name}.yaml to its folder, or train "
                "one of its recipes by itself with `lightrec fit -c RECIPE`."
            )
        for other in names(recipes[name]):
            add(other, *above, name)
        if name not in order:
            order.append(name)

    for name in sorted(recipes, key=lambda name: (bool(recipes[name].get("optional")), name)):
        add(name)
    return order


def until(recipes: Mapping[str, Recipe], last: str | None = None) -> list[str]:
    """Name the stages up to one, in order; by default all but optional ones.

    :raises RecipeError: where there is no such stage.
    """
    order = in_order(recipes)
    if last is not None and last not in order:
        stages = ", ".join(order)
        raise RecipeError(f"There is no stage {last!r}; the stages are {stages}.{hint(last)}")
    upto = order[: order.index(last) + 1] if last else order
    wanted = {name for name in order if name == last or not recipes[name].get("optional")}
    needed = _read_by(wanted, recipes)
    return [name for name in upto if name in needed]


def _read_by(stages: set[str], recipes: Mapping[str, Recipe]) -> set[str]:
    """Some stages, and those that they read in the end."""
    for name in reversed(in_order(recipes)):
        stages = stages | {*names(recipes[name])} if name in stages else stages
    return stages


def _resolved(value: Any, values: Mapping[str, object], stage: str) -> Any:
    """Put values in the place of ``${name}``; within a longer text, ``${run}`` alone."""
    match value:
        case dict():
            return {key: _resolved(inner, values, stage) for key, inner in value.items()}
        case list():
            return [_resolved(inner, values, stage) for inner in value]
        case str() if value.startswith("${run}"):
            return value.replace("${run}", str(values["run"]), 1)
        case str() if "${" in value:
            name = value.removeprefix("${").removesuffix("}")
            if value == f"${{{name}}}" and name in values:
                return values[name]
            raise RecipeError(
                f"The recipe {stage} refers to {value}, which is no value that its set states. Add "
                f"it to `values` in {SET}, or write the value itself."
            )
    return value
