"""A stage of a run: what goes in, where its files appear, and whether they are up to date.

A stage's folder appears whole, by one rename, with a ``stage.json`` that holds a fingerprint of
everything that went in: the recipe, the overrides, the input files and the fingerprints of the
stages before. Nothing heavy is imported here, so that an unchanged run is recognised at once.
"""

import ast
import hashlib
import inspect
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

import lightrec
from lightrec import plugins, trust
from lightrec.data.files import FORMAT_VERSION, STAMP, content_hash, write_stamp, write_whole
from lightrec.errors import RecipeError, warn
from lightrec.moved import hint, moved, words_left
from lightrec.run import Run
from lightrec.settings import mistake, nested
from lightrec.stages import recipes
from lightrec.stages.recipes import Recipe
from lightrec.stages.redo import joins

BEGUN = "begun.json"
"""Note in a stage's work: what went in when it began."""
WORD = re.compile(r"[\w./-]+")


def publish(recipe: Recipe, made: Path, top: Path) -> None:
    """Copy what a stage shows to the top of a run folder, each file by one rename.

    :param made: the stage's folder.
    :raises LightrecError: where it would show something in the place of a stage.
    """
    for name in recipes.names(recipe, "shows"):
        if (top / name).is_dir():
            raise RecipeError(f"A recipe shows {name!r}, and {top / name} is a folder of the run.")
        if (made / name).is_file():
            write_whole(top / name, (made / name).read_bytes())
        else:
            (top / name).unlink(missing_ok=True)


def hash_file(path: Path) -> str:
    """Hash a file's content, whatever it is called but for its ending.

    Of a folder, that of all files in it with their places, which may hold values, such as
    ``day=2024-05-01``.
    """
    digest, files = hashlib.sha256(), {path.suffix: path}
    if path.is_dir():
        above = [part for part in path.parts if "=" in part]
        inside = [file for file in path.rglob("*") if file.is_file()]
        files = {"/".join([*above, *file.relative_to(path).parts]): file for file in inside}
    for name, file in sorted(files.items()):
        digest.update(os.fsencode(name))
        digest.update(bytes.fromhex(content_hash(file)))
    return digest.hexdigest()


def named_files(settings: object) -> dict[str, str]:
    """A content hash of each file that a recipe or a command line's settings name.

    Of a stage's folder, such as runs/films/ranker, that of its ``stage.json``.
    """
    if isinstance(settings, Mapping):
        settings = list(settings.values())
    if isinstance(settings, list):
        return {name: mark for value in settings for name, mark in named_files(value).items()}
    if not isinstance(settings, str):
        return {}
    name = settings.partition("=")[2] if settings.startswith("--") else settings
    if os.sep in name and os.path.isfile(stamp := os.path.join(name, STAMP)):
        name = stamp
    return {name: hash_file(Path(name))} if os.path.isfile(name) else {}


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    :param recipe: its settings, and what it reads.
    :param out: the folder that it leaves, such as ``runs/video/ranker``.
    :param overrides: command-line settings that go before the recipe's, as for LightningCLI.
    :param sources: input files from outside the run, by role.
    :param command: the command of the whole run, without its folder; noted for who has to fix it.
    :param before: the stages of the run that come before it, by name.
    """

    name: str
    recipe: Recipe
    out: Path
    overrides: Sequence[str] = ()
    sources: Mapping[str, Path] = field(default_factory=dict)
    command: str = ""
    before: Mapping[str, "Stage"] = field(default_factory=dict, repr=False)

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.out.parent

    @property
    def work(self) -> Path:
        """Folder of an unfinished stage's checkpoints."""
        return self.run / ".work" / self.name

    @property
    def logs(self) -> Path:
        """Folder in which TensorBoard finds the stage."""
        return self.run / "logs" / self.name

    @property
    def inputs(self) -> list[str]:
        """The stages whose files it reads."""
        return recipes.names(self.recipe)

    @property
    def function(self) -> str | None:
        """The import path of what runs it; None where it is trained."""
        return self.recipe.get("function")

    def facts(self) -> dict[str, Any]:
        """Note what goes into the stage as it is now, with its hash as ``fingerprint``.

        :raises RunError: where a stage before it has not been run.
        """
        run = Run(self.run, follow=False)
        facts = {
            "lightrec": lightrec.__version__,
            "recipe": self.recipe,
            "overrides": list(self.overrides),
            "inputs": {name: run.stamp(name)["fingerprint"] for name in self.inputs},
        }
        reads_log = self.name == "data"
        content = facts | {
            "plugins": plugin_marks(f"{self.recipe} {self.overrides}", readers=reads_log),
            "sources": {role: hash_file(path) for role, path in self.sources.items()},
            "files": named_files([self.recipe, *self.overrides]),
            "format": FORMAT_VERSION if reads_log else None,
        }
        text = json.dumps(content, sort_keys=True, default=str)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()
        return {"stage": self.name, "fingerprint": fingerprint, "command": self.command, **facts}

    def fingerprint(self) -> str:
        """Hash everything that goes in; raises as :meth:`facts`."""
        return str(self.facts()["fingerprint"])

    def is_current(self) -> bool:
        """Tell whether the files left are those that running it now would leave."""
        run = Run(self.run, follow=False)
        return run.has(self.name) and run.stamp(self.name)["fingerprint"] == self.fingerprint()

    def prepare_work(self) -> bool:
        """Make the work folder ready, keeping it only where it belongs to the same inputs.

        :returns: whether there is earlier work to continue from.
        :raises RunError: where the stages that it reads do not belong together.
        """
        Run(self.run, follow=False).check(*self.inputs)
        mark, facts = self.work / BEGUN, self.facts()
        while not (begun := _begun(mark) == facts["fingerprint"]) and joins():
            time.sleep(0.1)  # the first process makes it ready
        if begun:
            return True
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.rmtree(self.logs, ignore_errors=True)
        self.work.mkdir(parents=True)
        write_whole(mark, json.dumps(facts, default=str))
        return False

    @contextmanager
    def output(self, seed: object) -> Iterator[Path]:
        """An empty folder that becomes the stage's own when the block ends well.

        It is stamped with what went in when the stage began: a recipe or a log that was changed
        meanwhile makes the stage outdated, and does not pass for what it was made from.
        """
        mark = self.work / BEGUN
        facts = json.loads(mark.read_text()) if mark.is_file() else self.facts()
        folder = self.work / "output"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield folder
        write_stamp(folder, {**facts, "seed": seed})
        if self.out.exists():
            os.replace(self.out, self.work / "replaced")
        os.replace(folder, self.out)
        shutil.rmtree(self.work, ignore_errors=True)


def _begun(mark: Path) -> str | None:
    """The fingerprint of the work that a folder holds; None where there is none."""
    return str(json.loads(mark.read_text())["fingerprint"]) if mark.is_file() else None


def function_of(stage: Stage) -> tuple[Callable[..., None], dict[str, Any]]:
    """The function of a stage that trains nothing, and its arguments but the first, the stage.

    :raises RecipeError: where there is no such function, or a setting is unknown or has the wrong
        type.
    :raises RunError: where a run folder names another function than a stage's.
    """
    try:
        function = trust.function(moved(stage.function or ""), takes="Stage")
    except (ImportError, AttributeError, ValueError) as error:
        raise RecipeError(
            f"The recipe {stage.name} names the function {stage.function!r}, which cannot be "
            f"imported: {error}."
            f"{hint(stage.function or '') or ' Write it as package.module.function.'}"
        ) from error
    settings = _of_installed(recipes.settings(stage.recipe, stage.run))
    text = moved(json.dumps(settings, default=str))
    overrides = words_left(moved([*stage.overrides]))
    plugins.load_parts([text, *overrides])
    first = next(iter(inspect.signature(function).parameters))
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", action="config")
    parser.add_function_arguments(function, skip={first})
    try:
        parsed = parser.parse_args(["--config", text, *overrides])
    except Exception as error:
        settings = nested(["-c", text, *overrides])
        said = mistake(function, settings, [first], f"The stage {stage.name}") or error
        raise RecipeError(f"The settings of stage {stage.name} cannot be used. {said}") from error
    parsed.pop("config", None)
    return function, parser.instantiate_classes(parsed).as_dict()


def _of_installed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those entries of lists that are parts of packages that are not installed.

    A recipe so names evaluators beside lightrec's own; each that is left out is warned of.
    """
    names = {part.name for part in plugins.installed().every_part}

    def lacks(entry: object) -> bool:
        path = str(entry.get("class_path", "")) if isinstance(entry, Mapping) else ""
        lacking = path.rpartition(".")[2] not in names and bool(hint(path))
        if lacking:
            warn(f"{path} is left out.{hint(path)}")
        return lacking

    return {
        name: [entry for entry in value if not lacks(entry)] if isinstance(value, list) else value
        for name, value in settings.items()
    }


def plugin_marks(settings: str, readers: bool = False) -> dict[str, str]:
    """A content hash of the code of each plugin that a stage's settings name.

    A plugin that is being written changes without a change of its version. What counts is the
    module of each part, function or class that is named, and the modules of its package that this
    one imports.

    :param settings: recipe and overrides as one text.
    :param readers: whether all readers count as named; the one that fits a file is chosen from
        them.
    """
    installed = plugins.installed()
    words = {word for token in WORD.findall(settings) for word in (token, token.split(".")[-1])}
    marks = {}
    for package in installed.packages[1:]:
        parts = installed.parts_of(package)
        tops = {path.partition(".")[0] for path in (package.module, *(part.path for part in parts))}
        dotted = sorted(word for word in words if word.partition(".")[0] in tops)
        modules = [word.rpartition(".")[0] for word in dotted if "." in word]
        for part in parts:
            module, _, name = part.path.partition(":")
            named = {part.name, name} & words or (readers and part.slot == "readers")
            if named and part.slot != plugins.RECIPES:
                modules.append(module)
        if modules:
            digest = hashlib.sha256(str(package).encode())
            for path in sorted(sources(modules)):
                digest.update(path.read_bytes())
            marks[package.name] = digest.hexdigest()
    return marks


def sources(modules: Iterable[str]) -> set[Path]:
    """The files of modules, and of all those that they import from their own package."""
    names = list(dict.fromkeys(modules))
    files = set()
    for name in names:  # grows by what each of them imports
        if (path := module_file(name)) is not None:
            files.add(path)
            package = name.partition(".")[0]
            inside = [o for o in imported(path, name) if o.partition(".")[0] == package]
            names += dict.fromkeys(other for other in inside if other not in names)
    return files


def module_file(name: str) -> Path | None:
    """Find a module's source without importing it or the packages around it."""
    top, *rest = name.split(".")
    if (spec := find_spec(top)) is None:
        return None
    paths = [Path(folder, *rest) for folder in spec.submodule_search_locations or []]
    files = [file for path in paths for file in (path / "__init__.py", path.with_suffix(".py"))]
    if not rest and spec.origin:
        files.append(Path(spec.origin))
    return next((file for file in files if file.is_file()), None)


def imported(path: Path, name: str) -> Iterator[str]:
    """Read off a module's source what it imports: modules, and names that may be modules.

    :param name: the module's full name, from which relative imports count.
    """
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:
        return  # whoever imports it will say so
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)
