"""Content hashes of the plugins' code that a stage's settings name.

A plugin that is being written changes without a change of its version. A stage depends on the parts
that its settings name: on the module of each, and on the modules of the same package that this one
imports. Imports are read off the source; nothing is imported.
"""

import ast
import hashlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

from lightrec import plugins
from lightrec.plugins import Part

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
        used = [
            part
            for part in found.parts_of(package)
            if part.slot != plugins.RECIPES and (is_named(part, words) or _reads(part, readers))
        ]
        if used:
            digest = hashlib.sha256(str(package).encode())
            modules = {part.path.partition(":")[0] for part in used}
            for path in sorted(sources(modules)):
                digest.update(path.read_bytes())
            marks[package.name] = digest.hexdigest()
    return marks


def is_named(part: Part, words: set[str]) -> bool:
    """Tell whether a part's short name, or that of its class, is one of the words."""
    return bool({part.name, part.path.partition(":")[2]} & words)


def _reads(part: Part, readers: bool) -> bool:
    return readers and part.slot == "readers"


def sources(modules: set[str]) -> set[Path]:
    """Give the files of modules, and of all those that they import from their own package."""
    left, files = [*modules], set()
    seen = set(left)
    while left:
        name = left.pop()
        path = module_file(name)
        if path is None:
            continue
        files.add(path)
        for other in imported(path, name):
            same_package = other.partition(".")[0] == name.partition(".")[0]
            if same_package and other not in seen:
                seen.add(other)
                left.append(other)
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

    :param path: its file.
    :param name: its full name, from which relative imports count.
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
