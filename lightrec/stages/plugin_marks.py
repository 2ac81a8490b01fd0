"""Content hashes of the plugins' code that a stage's settings name.

A plugin that is being written changes without a change of its version. A stage depends on the parts
that its settings name: on the module of each, and on the modules of the same package that this one
imports. Imports are read off the source; nothing is imported.
"""

import ast
import hashlib
import importlib.util
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from lightrec import plugins

TOKEN = re.compile(r"[\w./-]+")


def plugin_marks(settings: str, readers: bool = False) -> dict[str, str]:
    """Give a content hash for each plugin of which a part is named in a stage's settings.

    :param settings: recipe and overrides as one text.
    :param readers: whether all readers count as named; the one that fits a file is chosen from
        them.
    """
    found = plugins.installed()
    words = {word for token in TOKEN.findall(settings) for word in (token, token.split(".")[-1])}
    marks = {}
    for package in found.packages[1:]:
        modules = []
        for part in found.parts_of(package):
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
    """Give the files of modules, and of all those that they import from their own package."""
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
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    for folder in spec.submodule_search_locations or []:
        path = Path(folder, *rest)
        for candidate in (path / "__init__.py", path.with_suffix(".py")):
            if candidate.is_file():
                return candidate
    return Path(spec.origin) if not rest and spec.origin else None


def imported(path: Path, name: str) -> Iterator[str]:
    """Read off a module's source what it imports: modules, and names that may be modules.

    :param name: the module's full name, from which relative imports count.
    """
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:
        return  # whoever imports it will say so
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)
