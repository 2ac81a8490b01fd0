"""What jsonargparse complains of, in sentences: which setting, what was found, what would do."""

import difflib
import re
from importlib import import_module
from typing import Final

CANNOT: Final = "The recipe or its settings cannot be used."
ALL_SETTINGS: Final = "\n`lightrec fit -c RECIPE --print_config` shows all settings."
_CLASS = re.compile(r"Expected a dot import path string: (\S+)")
_OPTION = re.compile(
    r"Option '([^']+)' is not accepted|[Uu]nrecognized arguments: (\S+)"
    r"|does not accept option '([^']+)'"
)
_VALUE = re.compile(
    r'Parser key "([^"]+)":\s+(?:- )?Expected an? (.+?)\.? (?:Got value|but got): (.*)'
)
_BASE = re.compile(r"Subtypes: [\[(]<class '([\w.]+)'>")


def in_sentences(message: str) -> str:
    """Put a complaint into sentences; one that is not understood stays as it is."""
    if found := re.search(rf"{CANNOT} (.+)", message):
        # A parser within the parser has said it already.
        return found[1]
    if found := _CLASS.search(message):
        bases = _BASE.findall(message[: found.start()])
        return _unknown_class(found[1], bases[-1] if bases else None)
    if found := _OPTION.search(message):
        return (
            f"There is no setting {found[found.lastindex or 0]!r} here; its name may be misspelt."
        )
    if found := _VALUE.search(message):
        expected = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", found[2])
        return f"The setting {found[1]} takes {expected}, not {found[3].strip()}."
    return message


def _unknown_class(name: str, base: str | None) -> str:
    sentence = f"There is no class {name!r}"
    if base is None:
        return f"{sentence} that could be used here."
    module, _, kind = base.rpartition(".")
    known = sorted(_subclasses(getattr(import_module(module), kind)))
    sentence += f" among those of the kind {kind}. Installed are: {', '.join(known) or 'none'}."
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"{sentence} Did you mean {near[0]}?"
    return f"{sentence} Install the package that provides it, or correct the name."


def _subclasses(kind: type) -> set[str]:
    found: set[str] = set()
    children: list[type] = kind.__subclasses__()
    for child in children:
        if not getattr(child, "__abstractmethods__", None) and not child.__name__.startswith("_"):
            found.add(child.__name__)
        found |= _subclasses(child)
    return found
