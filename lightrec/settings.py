"""Parts made with settings that people wrote, and what is wrong with settings, in sentences."""

import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from lightrec import plugins
from lightrec.errors import PluginError, RecipeError, did_you_mean
from lightrec.moved import hint, moved

CANNOT: Final = "The recipe or its settings cannot be used."
ALL_SETTINGS: Final = "\n`lightrec fit -c RECIPE --print_config` shows all settings."
_CLASS = re.compile(r"Expected a dot import path string: (\S+)")
_OPTION = re.compile(
    r"Option '([^']+)' is not accepted|[Uu]nrecognized arguments: (\S+)"
    r"|does not accept option '([^']+)'"
)
_LACKING = re.compile(r"the following arguments are required: (.+)")
_VALUE = re.compile(
    r'Parser key "([^"]+)":\s+(?:- )?Expected an? (.+?)\.? (?:Got value|but got): (.*)'
)
_BASE = re.compile(r"Subtypes: [\[(](?:<class '|collections\.abc\.Callable\[\[.*?\], )([\w.]+)")
_ABSTRACT = re.compile(r"is abstract.*?Given value: (?:[^\n]*?class_path\W+)?([\w.]+)", re.DOTALL)
_DENIED = re.compile(r"Importing '([\w.]+)' is not allowed")
_IMPORT = re.compile(
    r"module '[\w.]+' has no attribute '\w+'|No module named '[\w.]+'"
    r"|(?:Expected '[\w.]+' to be|Import path does not correspond to) a subclass of (?:<[^>]+>|\w+)"
)


def make_of(kind: type, settings: Mapping[str, Any] | None = None, **given: Any) -> Any:
    """Make an object of a class with settings that people wrote, checked by their types.

    :param settings: arguments of the constructor. A part among them is a short name, or a mapping
        of ``class_path`` and ``init_args``.
    :param given: further arguments, which are no settings and are not checked.
    :raises RecipeError: where there is no such setting, or a value does not fit.
    """
    chosen = dict(settings or {})
    parser, parsed = check_of(kind, chosen, *given)
    with plugins.blaming(kind, f"be made with {chosen}"):
        arguments = parser.instantiate_classes(parsed).as_dict()
        try:
            return kind(**given, **arguments)
        except (TypeError, ValueError) as error:
            raise RecipeError(
                f"{kind.__name__} cannot be made with these settings: {error}"
            ) from error


def check_of(
    kind: type, settings: Mapping[str, Any], *given: str
) -> tuple[ArgumentParser, Namespace]:
    """See that a class takes settings that people wrote, as :func:`make_of` does; make nothing.

    :param given: names of further arguments, which are no settings.
    :returns: the parser of the settings, and what it read.
    :raises RecipeError: where there is no such setting, or a value does not fit.
    """
    settings = moved(settings)
    if any(isinstance(value, str | list | Mapping) for value in settings.values()):
        plugins.installed().load_all(str(settings))
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, skip={*given}, fail_untyped=False)
    known = {action.dest for action in parser._actions} - {"help"}
    for name in settings.keys() - known:
        raise RecipeError(f"{kind.__name__} has no setting {name!r}.{did_you_mean(name, known)}")
    try:
        return parser, parser.parse_object(dict(settings))
    except ArgumentError as error:
        raise RecipeError(
            f"{kind.__name__} cannot be made with {dict(settings)}: {in_sentences(str(error))}"
        ) from None


def with_settings(text: str) -> tuple[str, dict[str, Any]]:
    """Read a name with settings after a colon: ``Greed``, or ``Greed:seed=1,max_steps=20``.

    :raises RecipeError: where a setting is not of that form.
    """
    name, _, rest = text.partition(":")
    return name, dict(setting(each, f"A setting of {name}") for each in rest.split(",") if each)


def setting(text: str, what: str = "--set") -> tuple[str, Any]:
    """Read ``name=value``, the value as YAML.

    :param what: what the message speaks of.
    :raises RecipeError: where it is not of that form.
    """
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise RecipeError(f"{what} takes NAME=VALUE, such as slate_size=3, and not {text!r}.")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"The value in {text!r} cannot be read as YAML: {error}.") from error


def in_sentences(message: str) -> str:
    """Put a complaint into sentences; one that is not understood stays as it is."""
    if found := re.search(rf"{CANNOT} (.+?)\s*{ALL_SETTINGS.strip()}", message, re.DOTALL):
        # A parser within the parser has said it already.
        return found[1]
    if found := _DENIED.search(message):
        return (
            f"{found[1]} belongs neither to lightrec nor to an installed plugin, so that it was "
            "not imported."
        )
    if found := _CLASS.search(message):
        bases = _BASE.findall(message[: found.start()])
        return _unknown_class(found[1], bases[-1] if bases else None)
    if found := _ABSTRACT.search(message):
        return _abstract_class(found[1])
    if found := _IMPORT.search(message):
        return f"A class that is named cannot be used here: {found[0]}."
    if found := _OPTION.search(message):
        return (
            f"There is no setting {found[found.lastindex or 0]!r} here; its name may be misspelt."
        )
    if found := _LACKING.search(message):
        return f"Give a value for {found[1]}; `lightrec plugins show NAME` says what is meant."
    if found := _VALUE.search(message):
        expected = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", found[2])
        value = found[3].strip()
        return f"The setting {found[1]} takes {expected}, not {value}.{hint(value)}"
    return message


def _unknown_class(name: str, base: str | None) -> str:
    sentence = f"There is no class {name!r}"
    if base is None:
        return f"{sentence} that could be used here.{hint(name)}"
    plugins.installed().load_all()
    module, _, kind = base.rpartition(".")
    known = {
        child.__name__
        for child in plugins.subclasses(getattr(import_module(module), kind))
        if not inspect.isabstract(child) and not child.__name__.startswith("_")
    }
    sentence += f" among those of the kind {kind}. Installed are: "
    sentence += f"{', '.join(sorted(known)) or 'none'}."
    mend = " Install the package that provides it, or correct the name."
    return f"{sentence}{hint(name) or did_you_mean(name, known) or mend}"


def _abstract_class(name: str) -> str:
    for part in plugins.installed().every_part:
        if name in (part.name, part.path.replace(":", ".")):
            try:
                part.load()
            except PluginError as error:
                return str(error)
    return f"The class {name} is abstract: name one derived from it that defines what it lacks."
