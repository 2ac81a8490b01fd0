"""Nothing public is undocumented: commands, options, hooks, recipes, settings and modules."""

import importlib
import inspect

import pytest

from docs.generated import hook_names, recipe_files, submodules
from lightrec import hookspecs
from lightrec.__main__ import commands
from lightrec.cli.command import parser_of, summary
from tests.docs.pages import ROOT, anchors

REFERENCE = ROOT / "docs" / "reference"
INTERNAL = ("lightrec.cli", "lightrec.__main__", "lightrec.builtin")
"""Modules without a page of their own: their commands and parts have pages."""


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", commands())
def test_every_command_is_documented(command):
    assert f"lightrec-{command.replace(' ', '-')}" in anchors(page("commands"))
    part = commands()[command]
    assert summary(part.path).endswith(".")
    parser = parser_of(part.load(), command)
    undescribed = [action.dest for action in parser._actions if not action.help]
    assert not undescribed, f"{parser.prog}: {undescribed} lack a help text"


@pytest.mark.parametrize("hook", hook_names())
def test_every_hook_is_documented(hook):
    assert hook in anchors(page("hooks"))
    assert hook in (ROOT / "docs" / "how-to" / "plugin.md").read_text(encoding="utf-8")
    docstring = inspect.getdoc(getattr(hookspecs, hook)) or ""
    assert ":returns:" in docstring


@pytest.mark.parametrize(("name", "path"), recipe_files(), ids=lambda value: str(value))
def test_every_recipe_is_documented(name, path):
    assert f"### {name}\n" in page("recipes")
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# "), f"{path} must begin with a comment that says what it does"


def test_every_public_module_is_in_the_reference():
    listed = "".join(path.read_text(encoding="utf-8") for path in (REFERENCE / "api").glob("*.md"))
    assert not [
        name
        for name in submodules("lightrec")[1:]
        if not name.startswith(INTERNAL)
        and f"## `{name}`\n" not in listed
        and not hasattr(importlib.import_module(name), "__path__")
    ]
