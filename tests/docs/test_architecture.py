"""The page on the architecture names what is in the code."""

import inspect
import re
from importlib import import_module

import pytest

from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "explanation" / "architecture.md"
TEXT = PAGE.read_text(encoding="utf-8")
LINKED = re.compile(r"\[`([\w.]+)`\]\(\.\./\.\./([\w/.]+\.py)\)")


def file_of(name: str) -> str:
    """The file of what `room.module.Class.function` names, which is there."""
    words = name.split(".")
    for end in range(len(words), 0, -1):
        module = ".".join(["lightrec", *words[:end]])
        if (ROOT / f"{module.replace('.', '/')}.py").is_file():
            thing: object = import_module(module)
            for word in words[end:]:
                thing = inspect.getattr_static(thing, word)
            return f"{module.replace('.', '/')}.py"
    raise AssertionError(f"no module of lightrec is in {name}")


@pytest.mark.parametrize(("name", "file"), LINKED.findall(TEXT))
def test_what_the_page_names_is_in_the_file_that_it_links(name, file):
    assert file_of(name) == file
