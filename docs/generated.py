"""The parts of the documentation that are made from the code, when the documentation is built.

A page asks for one with a comment, ``<!-- generated: commands -->``, which a reader of the page on
GitHub does not see. Pages hold their prose; what is here holds names, options and docstrings.
"""

import argparse
import os
import pkgutil
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from lightrec import hookspecs, plugins
from lightrec.__main__ import COMMANDS
from lightrec.stages.stage import INPUTS

MARK = re.compile(r"^<!-- generated: (\w+) ?(.*?) -->$", re.MULTILINE)
SHIPPED = ("lightrec", "lightrec-video")
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
    sections, shown = [], {}
    for command, (module, purpose) in COMMANDS.items():
        sections.append(f"## `lightrec {command}`\n\n{purpose}\n")
        if module in shown:
            first = shown[module]
            sections.append(f"Takes what [`lightrec {first}`](#lightrec-{first}) takes.\n")
            continue
        shown[module] = command
        sections.append(_command(import_module(module).parser()))
    return "\n".join(sections)


def _command(parser: argparse.ArgumentParser) -> str:
    parts = [f"```text\n{parser.format_usage().removeprefix('usage: ').rstrip()}\n```\n"]
    if parser.description:
        parts.append(f"{parser.description}\n")
    rows = [
        f"| {_names(action)} | {(action.help or '').replace('|', chr(92) + '|')} |"
        for action in parser._actions
        if not isinstance(action, (argparse._HelpAction, argparse._SubParsersAction))
    ]
    if rows:
        parts += ["| argument | meaning |\n| --- | --- |\n" + "\n".join(rows) + "\n"]
    for name, help_text, child in subcommands(parser):
        parts += [f"### `{parser.prog} {name}`\n\n{sentence(help_text)}\n", _command(child)]
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


def subcommands(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """List a parser's subcommands: name, help, parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                yield choice.dest, choice.help or "", action.choices[choice.dest]


def sentence(text: str) -> str:
    """Make a sentence of a line of help."""
    return text[:1].upper() + text[1:].rstrip(".") + "." if text else ""


def hook_names() -> list[str]:
    """List the hooks."""
    return [name for name in vars(hookspecs) if name.startswith("lightrec_")]


def hooks() -> str:
    """Describe every hook by its docstring, with lightrec's own parts."""
    found = plugins.installed()
    sections = []
    for hook in hook_names():
        parts = found.parts[hook.removeprefix("lightrec_")].values()
        own = [part for part in parts if part.distribution.split()[0] in SHIPPED]
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
    """List the shipped recipes, such as ``video/encoder``, by set and stage."""
    parts = plugins.installed().parts[plugins.RECIPES].values()
    sets = [Path(part.path) for part in parts if part.distribution.split()[0] in SHIPPED]
    order = list(INPUTS)
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
