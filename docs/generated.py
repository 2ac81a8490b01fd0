"""The parts of the documentation that are made: `make pages` writes them into the pages.

A page asks for one with two comments, which its reader does not see, and what stands between them
is made from the code or from a benchmark's results:

    <!-- from code: hooks -->
    …
    <!-- end -->

    a gain of <!-- from far: mean far/seed-* truth/gain .3f -->0.080<!-- end -->

After ``code`` comes a function of this module with its arguments, see :data:`MADE`. Any other first
word names a file of results, and :mod:`benchmarks.table` makes what the page asks for. ``kept``
stands before what was made of results whose question is settled, and is left as it is. A test
compares every page with what would be written now.
"""

import argparse
import inspect
import os
import pkgutil
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from benchmarks import table
from lightrec import hookspecs, plugins
from lightrec.cli.command import parser_of
from lightrec.keys import Key
from lightrec.stages.recipes import in_order, load

ROOT = Path(__file__).parents[1]
MARKED = re.compile(r"<!-- from (\w+): (.+?) -->(.*?)<!-- end -->", re.DOTALL)
SHIPPED = {"lightrec", *(path.name for path in (ROOT / "plugins").glob("lightrec-*"))}
"""The distributions of this repository whose recipes and parts the reference shows."""


def pages() -> list[Path]:
    """List the pages that may hold what is made."""
    plugins_own = sorted((ROOT / "plugins").glob("*/README.md"))
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *plugins_own]


def fill(text: str) -> str:
    """Put between each pair of marks what it asks for.

    :raises ValueError: where a mark asks for what is not there.
    """
    return MARKED.sub(_filled, text)


def _filled(mark: re.Match[str]) -> str:
    source, asked, held = mark.groups()
    name, *arguments = asked.split()
    alone = held.startswith("\n")
    if not alone and mark.start() == mark.string.rfind("\n", 0, mark.start()) + 1:
        raise ValueError(f"The mark `from {source}: {asked}` would end its paragraph: move it.")
    try:
        if source == "code":
            found = MADE[name](*arguments)
        elif name == "kept":
            table.numbers(source, "*", "cpu_seconds")
            found = held.strip("\n")
        else:
            found = table.figure(source, name, *arguments)
    except (OSError, ImportError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"The mark `from {source}: {asked}` asks in vain: {error!r}.") from error
    found = f"\n{found}\n" if alone else found
    return f"<!-- from {source}: {asked} -->{found}<!-- end -->"


def commands() -> str:
    """Describe every command by its parser."""
    os.environ["COLUMNS"] = "92"
    sections, said = [], {}
    for name, part in shipped(plugins.COMMANDS).items():
        sections.append(f"## `lightrec {name}`\n")
        sections.append(_command(parser_of(part.load(), name), name, said))
    return "\n".join(sections)


def shipped(slot: str) -> dict[str, plugins.Part]:
    """Give the parts of a slot that this repository provides."""
    parts = plugins.installed().parts.get(slot, {})
    return {name: part for name, part in parts.items() if _distribution(part) in SHIPPED}


def _distribution(part: plugins.Part) -> str:
    return part.distribution.split()[0]


def _command(parser: argparse.ArgumentParser, name: str, said: dict[tuple[str, str], str]) -> str:
    """Describe a command; what `said` of an option for another command is not said again."""
    usage = parser.format_usage().removeprefix("usage: ").rstrip()
    parts = [f"{parser.description}\n\n```text\n{usage}\n```\n"]
    rows, others = [], {}
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction):
            row = (_names(action), action.help or "")
            of = said.setdefault(row, name) if action.option_strings else name
            if of == name:
                rows.append(row)
            else:
                others.setdefault(of, []).append(action.option_strings[-1])
    for of, names in others.items():
        list_of = ", ".join(f"`{each}`" for each in names)
        rows.append((list_of, f"as in [`lightrec {of}`](#lightrec-{of.replace(' ', '-')})"))
    if rows:
        parts.append(_table(["argument", "meaning"], rows))
    if parser.epilog:
        parts.append(f"```text\n{parser.epilog.strip()}\n```\n")
    return "\n".join(parts)


def _names(action: argparse.Action) -> str:
    value = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    if action.choices is not None and not action.metavar:
        value = ", ".join(map(str, action.choices))
    names = ", ".join(f"`{name}`" for name in action.option_strings)
    takes = "" if action.nargs == 0 else f" `{value}`"
    return f"{names}{takes}".strip()


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def hook_names() -> list[str]:
    """List the hooks."""
    return [name for name in vars(hookspecs) if name.startswith("lightrec_")]


def hooks() -> str:
    """Describe every hook by its docstring, with lightrec's own parts."""
    sections = []
    for hook in hook_names():
        said, _, returns = _markdown(getattr(hookspecs, hook)).partition(":returns: ")
        returns = " ".join(returns.split())
        sections.append(f"## `{hook}`\n\n{said.strip()}\n\n**Returns** {returns}\n")
        own = shipped(hook.removeprefix("lightrec_")).values()
        if own:
            rows = [f"- `{part.name}`: {_where(part)}\n" for part in own]
            sections.append(f"Shipped:\n\n{''.join(rows)}")
    return "\n".join(sections)


def _where(part: plugins.Part) -> str:
    if part.slot == plugins.RECIPES:
        return f"[{part.name}](recipes.md#{part.name})"
    return f"`{part.path}`"


def _markdown(described: object) -> str:
    """Give a docstring in Markdown."""
    return _plain(inspect.getdoc(described) or "")


def _plain(text: str) -> str:
    text = re.sub(r":\w+:`~[\w.]*?(\w+)`", r"`\1`", text)
    return re.sub(r":\w+:(?=`)", "", text).replace("``", "`")


def recipes() -> str:
    """Show every shipped recipe with its comments."""
    sections, last = [], None
    for name, path in recipe_files():
        if path.parent != last:
            sections.append(f"## {path.parent.name}\n")
        last = path.parent
        sections.append(f"### {name}\n\n```yaml\n{path.read_text(encoding='utf-8')}```\n")
    return "\n".join(sections)


def recipe_files() -> list[tuple[str, Path]]:
    """List the shipped recipes, such as ``video/ranker``, by set and stage."""
    sets = [Path(part.path) for part in shipped(plugins.RECIPES).values()]
    order = ["set", *in_order(load("generic").recipes)]
    files = [path for folder in sets for path in folder.glob("*.yaml")]
    # Sets that are no runs, such as that of worlds, have recipes of other names.
    place = dict(zip(order, range(len(order)), strict=True))
    files.sort(key=lambda path: (path.parent.name, place.get(path.stem, 0), path.stem))
    return [(f"{path.parent.name}/{path.stem}", path) for path in files]


def modules(*names: str) -> str:
    """List modules, and all in them, each with its docstring's first sentence.

    The built documentation has their classes and functions in its place.
    """
    rows = []
    for name in (module for given in names for module in submodules(given)):
        module = import_module(name)
        path = os.path.relpath(inspect.getfile(module), ROOT)
        rows.append([f"[`{name}`](../../../{path})", _sentence(module)])
    return _table(["module", "what it holds"], rows)


def _sentence(described: object) -> str:
    """Give the first sentence of a docstring."""
    paragraph = " ".join(_markdown(described).partition("\n\n")[0].split())
    first = re.split(r"(?<=[.?])\s(?=[A-Z`(])", paragraph)[0]
    return re.sub(r":+$", ".", first)


def submodules(name: str) -> list[str]:
    """List a module and, where it is a package, the public modules in it."""
    module = import_module(name)
    inside = pkgutil.walk_packages(getattr(module, "__path__", []), f"{name}.")
    public = [found.name for found in inside if not found.name.rpartition(".")[2].startswith("_")]
    return [name, *public]


def packages() -> list[dict[str, Any]]:
    """Read the list of the packages that are known."""
    return yaml.safe_load((ROOT / "docs" / "packages.yaml").read_text(encoding="utf-8"))


def gallery() -> str:
    """List the packages that are known."""
    rows = []
    for package in packages():
        address, whose = package["address"], "others"
        if package.get("first_party"):
            address, whose = f"../{address}/README.md", "lightrec"
        kinds = ", ".join(f"`{kind}`" for kind in package["kinds"])
        name = f"[{package['name']}]({address})"
        rows.append([name, package["about"], kinds, whose, package["checked"]])
    return _table(["package", "what it is for", "adds", "by", "checked with"], rows)


def keys() -> str:
    """List the keys of TensorDicts with what is said below each."""
    each = re.compile(r'^    (\w+): Final = "(\w+)"\n    """(.*?)"""', re.MULTILINE | re.DOTALL)
    rows = [
        [f"`{key}`", f"`Key.{name}`", " ".join(_plain(said).split())]
        for name, key, said in each.findall(inspect.getsource(Key))
    ]
    return _table(["key", "name", "meaning"], rows)


def sets(package: str = "*") -> str:
    """List the published sets that packages describe.

    :param package: its folder; of all of them each set is listed with its package.
    """
    rows = []
    for file in sorted((ROOT / "plugins").glob(f"{package}/lightrec_*/sets.yaml")):
        for name, told in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            files = told["files"].values()
            files = [each if isinstance(each, str) else each["file"] for each in files]
            listed = ", ".join(f"`{each}`" for each in files)
            whose = [file.parts[-3]] if package == "*" else []
            rows.append([f"[{name}]({told['address']})", told["about"], listed, *whose])
    heads = ["set", "what it is", "files, the first of which tells it"]
    return _table([*heads, *["package"] * (package == "*")], rows)


MADE: dict[str, Callable[..., str]] = {
    "commands": commands,
    "gallery": gallery,
    "hooks": hooks,
    "keys": keys,
    "modules": modules,
    "recipes": recipes,
    "sets": sets,
}
"""What a page can ask for after ``code``."""


def main() -> None:
    """Write every page anew that is older than the code or the results."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        if (filled := fill(text)) != text:
            page.write_text(filled, encoding="utf-8")
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
