"""Commands from functions: the signature gives the options, the docstring the help.

A parameter without a default is an argument, one with a default an option: a ``bool`` is a flag, a
list takes several words, a mapping is one word such as ``{user: customer}``, a ``Literal`` names
its choices, a single letter has one dash, and ``with_``, as a word of Python's own has to be
written, is ``--with``. ``*words`` takes what no option of the function's own is.
The docstring's first line is the description, what follows it up to ``:param`` the end of the help,
and ``:param name:`` the help of an option; an option that several commands share has its help in
its type, ``Annotated[int, "sessions"]``.

An ``Annotated`` type may name further flags after its help. A function that takes ``help`` shows
its help by itself. What a function hands on as ``**options`` has its types and its help from the
function that takes it, see :func:`with_options_of`.
"""

import argparse
import ast
import inspect
import re
import types
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml

from lightrec.data.files import located
from lightrec.errors import RecipeError

Function = Callable[..., int | None]


def summary(path: str) -> str:
    """The first line of the docstring of ``package.module:function``, which is not imported.

    :returns: an empty string where there is no such function.
    """
    module, _, name = path.partition(":")
    with suppress(ImportError):
        spec = find_spec(module)
        if spec is not None and spec.origin is not None:
            for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef) and node.name == name:
                    return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def with_options_of(other: Callable[..., object], but: str = "") -> Callable[[Function], Function]:
    """A command the keyword arguments of a function, with their help, for its ``**options``.

    :param but: names of those that are left out.
    """

    def mark(command: Function) -> Function:
        signature, more = inspect.signature(command), inspect.signature(other).parameters.values()
        kept = [p for p in more if p.kind is p.KEYWORD_ONLY and p.name not in but.split()]
        kept += [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        kept.sort(key=lambda parameter: parameter.kind)
        command.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
        text, fields = (inspect.getdoc(function) or "" for function in (command, other))
        command.__doc__ = text + "".join(fields.partition("\n\n:param")[1:])
        return command

    return mark


def call(function: Function, name: str, words: list[str]) -> int:
    """Call a command's function with the words of a line; gives the exit status, 0 for None."""
    parameters = inspect.signature(function).parameters.values()
    parser = parser_of(function, name)
    if lost := [word for word in words if re.fullmatch(r"--\w[\w-]*=--", word)]:
        # argparse would take -- for the end of the options, and the option for one without a value.
        parser.error(f"{lost[0]}: -- cannot be a value; an item is named so by item=--")
    chosen, others = parser.parse_known_args(words)
    if others and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    positional = [getattr(chosen, p.name) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    options = {p.name: getattr(chosen, p.name) for p in parameters if p.kind is p.KEYWORD_ONLY}
    return function(*positional, *others, **options) or 0


def parser_of(function: Function, name: str) -> argparse.ArgumentParser:
    """The parser of a command."""
    parameters = inspect.signature(function, eval_str=True).parameters
    text, helps = documented(function)
    first, _, more = text.partition("\n")
    parser = argparse.ArgumentParser(
        prog=f"lightrec {name}",
        description=first,
        epilog=more.strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help="help" not in parameters,
    )
    for parameter in parameters.values():
        if parameter.kind is not parameter.VAR_POSITIONAL:
            _add(parser, parameter, helps.get(parameter.name, ""))
    # argparse would list all options here, and once more below.
    needed = [action for action in parser._actions if action.required]
    words = [f"{a.option_strings[-1]} {a.dest.upper()}" for a in needed if a.option_strings]
    words += ["[OPTIONS]", *(a.dest for a in needed if not a.option_strings)]
    parser.usage = " ".join(["%(prog)s", *words])
    return parser


def documented(thing: Callable[..., object]) -> tuple[str, dict[str, str]]:
    """Read a function's or a class's docstring: its text, and what it says of each parameter."""
    text, *fields = re.split(r"^:", inspect.getdoc(thing) or "", flags=re.MULTILINE)
    # A command's own words come before those of the function whose options it has.
    said = dict(field.split(":", 1) for field in reversed(fields))
    words = {name: " ".join(each.split()) for name, each in said.items()}
    return text, {n.removeprefix("param "): w for n, w in words.items() if n.startswith("param ")}


def _add(parser: argparse.ArgumentParser, parameter: inspect.Parameter, text: str) -> None:
    default, annotation, flags = parameter.default, parameter.annotation, []
    if get_origin(annotation) is Annotated:
        annotation, text, *flags = get_args(annotation)
    settings: dict[str, Any] = {"help": text.rstrip("."), **_kind(annotation)}
    needed = default is parameter.empty
    if needed and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
        parser.add_argument(parameter.name, **settings)
        return
    if needed:
        settings["required"] = True
    else:
        settings["default"] = default
        if default not in (None, False, (), ""):
            words = " ".join(map(str, default)) if isinstance(default, tuple) else default
            settings["help"] += f" (default: {words})"
        elif "nargs" in settings and default is None:
            # An option given twice has the words of both.
            settings |= {"nargs": "*", "action": "extend"}
    name = parameter.name.rstrip("_").replace("_", "-")
    option = f"{'-' if len(name) == 1 else '--'}{name}"
    if parameter.name.endswith("_"):
        settings |= {"dest": parameter.name, "metavar": name.upper()}
    if settings.get("type") is mapping:
        settings["type"] = partial(mapping, option=option, example=text[text.find("{") :])
    parser.add_argument(*flags, option, **settings)


def mapping(text: str, option: str, example: str) -> dict[str, str]:
    """Read an option such as ``{user: customer, item: sku}``.

    :raises RecipeError: where it is no such mapping.
    """
    value = None
    with suppress(yaml.YAMLError):
        # Without types: a column may be called `yes`.
        value = yaml.load(text, yaml.BaseLoader)
    if not isinstance(value, dict):
        raise RecipeError(f"{option} is a mapping such as '{example.rstrip('.')}', not {text!r}.")
    return value


def _kind(annotation: Any) -> dict[str, Any]:
    """Say how argparse reads values of a type."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(kind for kind in get_args(annotation) if kind is not type(None))
    origin = get_origin(annotation)
    if annotation is bool:
        return {"action": "store_true"}
    if origin is Literal:
        return {"choices": get_args(annotation)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": mapping}
    if isinstance(origin, type) and issubclass(origin, Iterable):
        return {"nargs": "+", **_kind(get_args(annotation)[0])}
    return {"type": {int: _whole, Path: located}.get(annotation, annotation)}


def _whole(text: str) -> int:
    """Read a whole number that fits into 64 bits, as what it counts or seeds does."""
    if abs(number := int(text)) >= 1 << 63:
        raise argparse.ArgumentTypeError(f"{text:.20}… is too large a number")
    return number
