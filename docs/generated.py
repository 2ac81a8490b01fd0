"""The parts of the documentation that are made from the code, when the documentation is built.

A page asks for one with a comment, ``<!-- generated: commands -->``, which a reader of the page on
GitHub does not see. Pages hold their prose; what is here holds names, options and docstrings.
"""

import argparse
import os
import pkgutil
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from lightrec import hookspecs, plugins
from lightrec.cli.command import parser_of, summary
from lightrec.stages.recipes import in_order, load

MARK = re.compile(r"^<!-- generated: (\w+) ?(.*?) -->$", re.MULTILINE)
SHIPPED = ("lightrec", "lightrec-gym", "lightrec-video")
"""The distributions of this repository whose recipes and parts the reference shows."""


def fill(text: str) -> str:
    """Put in place of each mark what it asks for."""
    return MARK.sub(lambda mark: KINDS[mark[1]](*mark[2].split()), text)


def contents(heading: str) -> str:
    """Give the table of contents of the pages that README.md links below a heading."""
    page = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    links = re.findall(r"\]\(([^):]+)\.md\)", section)
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {heading}", "", *links, "```"])


def commands() -> str:
    """Describe every command by its parser."""
    os.environ["COLUMNS"] = "92"
    sections = []
    for name, part in shipped(plugins.COMMANDS).items():
        sections.append(f"## `lightrec {name}`\n\n{summary(part.path)}\n")
        sections.append(_command(parser_of(part.load(), name)))
    return "\n".join(sections)


def shipped(slot: str) -> dict[str, plugins.Part]:
    """Give the parts of a slot that this repository provides."""
    parts = plugins.installed().parts[slot]
    return {n: part for n, part in parts.items() if part.distribution.split()[0] in SHIPPED}


def _command(parser: argparse.ArgumentParser) -> str:
    parts = [f"```text\n{parser.format_usage().removeprefix('usage: ').rstrip()}\n```\n"]
    if parser.description:
        parts.append(f"{parser.description}\n")
    rows = [
        f"| {_names(action)} | {(action.help or '').replace('|', chr(92) + '|')} |"
        for action in parser._actions
        if not isinstance(action, argparse._HelpAction)
    ]
    if rows:
        parts += ["| argument | meaning |\n| --- | --- |\n" + "\n".join(rows) + "\n"]
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


def hook_names() -> list[str]:
    """List the hooks."""
    return [name for name in vars(hookspecs) if name.startswith("lightrec_")]


def hooks() -> str:
    """Describe every hook by its docstring, with lightrec's own parts."""
    sections = []
    for hook in hook_names():
        own = shipped(hook.removeprefix("lightrec_")).values()
        directive = f"```{{eval-rst}}\n.. autofunction:: lightrec.hookspecs.{hook}\n```\n"
        sections.append(f"## `{hook}`\n\n{directive}")
        rows = [f"| `{part.name}` | {_where(part)} | {part.distribution} |" for part in own]
        if rows:
            sections.append("| shipped | where | distribution |\n| --- | --- | --- |")
            sections[-1] += "\n" + "\n".join(rows) + "\n"
    return "\n".join(sections)


def _where(part: plugins.Part) -> str:
    if part.slot == plugins.RECIPES:
        return f"[{part.name}](recipes.md#{part.name})"
    return f"`{part.path}`"


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
    """Describe modules, and all in them, by their docstrings."""
    sections = []
    for name in (module for given in names for module in submodules(given)):
        sections.append(f"## `{name}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n")
    return "\n".join(sections)


def submodules(name: str) -> list[str]:
    """List a module and, where it is a package, the public modules in it."""
    module = import_module(name)
    inside = pkgutil.walk_packages(getattr(module, "__path__", []), f"{name}.")
    public = [found.name for found in inside if not found.name.rpartition(".")[2].startswith("_")]
    return [name, *public]


KINDS: dict[str, Callable[..., str]] = {
    "commands": commands,
    "contents": contents,
    "hooks": hooks,
    "modules": modules,
    "recipes": recipes,
}
"""What a page can ask for."""
