"""Parts made with settings that people wrote, and what is wrong with settings, in sentences.

jsonargparse reads settings; what it refuses is looked for in the signatures of the classes that are
named, and said in words. Where nothing is found there, its own message stays.
"""

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from jsonargparse._parameter_resolvers import get_signature_parameters

from lightrec import plugins
from lightrec.blame import blaming
from lightrec.errors import PluginError, RecipeError, did_you_mean
from lightrec.moved import hint, moved, why_gone

CANNOT: Final = "The recipe or its settings cannot be used."
ALL_SETTINGS: Final = "\n`lightrec fit -c RECIPE --print_config` shows all settings."
CLASS: Final = "class_path"
_PLAIN: Final = (str, int, float, Mapping, list, tuple, set, os.PathLike, type(None))
"""Types of settings that are described by no class and arguments."""


def make_of(kind: type, settings: Mapping[str, Any] | None = None, **more: Any) -> Any:
    """Make an object of a class with settings that people wrote, checked by their types.

    :param settings: arguments of the constructor. A part among them is a short name, or a mapping
        of ``class_path`` and ``init_args``.
    :param more: further arguments, which are no settings and are not checked.
    :raises RecipeError: where there is no such setting, or a value does not fit.
    """
    chosen = dict(settings or {})
    parser, parsed = check_of(kind, chosen, *more)
    with blaming(kind, f"be made with {chosen}"):
        arguments = parser.instantiate_classes(parsed).as_dict()
        try:
            return kind(**more, **arguments)
        except (TypeError, ValueError) as error:
            raise RecipeError(
                f"{kind.__name__} cannot be made with these settings: {error}"
            ) from error


def check_of(
    kind: type, settings: Mapping[str, Any], *more: str
) -> tuple[ArgumentParser, Namespace]:
    """See that a class takes settings that people wrote, as :func:`make_of` does; make nothing.

    :param more: names of further arguments, which are no settings.
    :returns: the parser of the settings, and what it read.
    :raises RecipeError: where there is no such setting, or a value does not fit.
    """
    settings = moved(settings)
    plugins.load_parts(settings)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, skip={*more}, fail_untyped=False)
    try:
        return parser, parser.parse_object(dict(settings))
    except ArgumentError as error:
        sentence = mistake(kind, settings, more) or lacking(kind, settings, more) or error
        raise RecipeError(
            f"{kind.__name__} cannot be made with {dict(settings)}: {sentence}"
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


def values_of(words: Iterable[str]) -> dict[str, Any]:
    """Read words of a line, such as ``["--model.size", "8"]``, as ``{"model.size": 8}``."""
    values: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.lstrip("-").partition("=")
        values[name] = yaml.safe_load(value if equals else next(rest, "null"))
    return values


def nested(words: Iterable[str]) -> dict[str, Any]:
    """Read words of a line as mappings within mappings; what is named by ``-c`` is YAML."""
    settings: dict[str, Any] = {}
    for name, value in values_of(words).items():
        for part in reversed([] if name == "c" else name.removesuffix("+").split(".")):
            value = {part: value}
        lay(settings, value)
    return settings


def lay(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Lay mappings over others in place; of another class the arguments before do not count."""
    for name, value in over.items():
        before = base.get(name)
        if isinstance(value, str) and isinstance(before, dict):
            value = {CLASS: value}
        if isinstance(value, Mapping) and before is not None:
            before = before if isinstance(before, dict) else {CLASS: before}
            same = value.get(CLASS) in (None, before.get(CLASS))
            base[name] = before if same else {}
            lay(base[name], value)
        else:
            base[name] = value


def mistake(
    kind: Callable[..., Any],
    settings: Mapping[str, Any],
    left_out: Iterable[str] = (),
    whose: str = "",
) -> str:
    """The first mistake in settings of a class or a function; empty where none is found.

    :param left_out: names of arguments that are no settings.
    :param whose: what the settings are of, in place of the name.
    """
    taken = {each.name: each for each in _parameters(kind) if each.name not in left_out}
    for name, value in settings.items():
        if name not in taken:
            if why := why_gone(f"{kind.__name__}.{name}"):
                return f"The setting {name} of {kind.__name__} is gone: {why}. Leave it out."
            return f"{whose or kind.__name__} has no setting {name!r}.{did_you_mean(name, taken)}"
        if sentence := misfit(name, value, taken[name].annotation):
            return sentence
    return ""


def lacking(kind: type, settings: Mapping[str, Any], left_out: Iterable[str] = ()) -> str:
    """Name the first setting without a default that is not there; empty where all are."""
    needed = (each.name for each in _parameters(kind) if each.default is inspect.Parameter.empty)
    left = next((name for name in needed if name not in {*settings, *left_out}), None)
    why = "`lightrec plugins show NAME` says what is meant."
    return f"Give a value for {left} of {kind.__name__}; {why}" if left else ""


def _parameters(kind: Any) -> list[Any]:
    """A class's arguments; of what a run makes, such as a policy, those of its ``from_run``."""
    if not hasattr(kind, "from_run"):
        return get_signature_parameters(kind)
    return get_signature_parameters(kind, "from_run")[1:] + passed_on(kind)[0]


def passed_on(kind: type) -> tuple[list[Any], set[str]]:
    """Arguments of a policy's constructor that go there through the ``from_run`` of a base class.

    jsonargparse looks for these in the constructor of the base class, which may not take them.

    :returns: these, and the names of arguments that go elsewhere.
    """
    makers = {
        base: inspect.unwrap(vars(base)["from_run"].__func__)
        for base in kind.__mro__
        if "from_run" in vars(base)
    }
    of_base = [*makers]
    while of_base and "super" in makers[of_base[0]].__code__.co_names:
        of_base.pop(0)
    through = [*makers][: len(makers) - len(of_base) + 1]  # up to the first that calls the class
    if len(through) < 2 or not all(inspect.getfullargspec(makers[x]).varkw for x in through):
        return [], set()
    to_class, settings, own = (
        {each.name for each in get_signature_parameters(*of)}
        for of in ((through[-1],), (through[-1], "from_run"), (kind, "from_run"))
    )
    taken = own | (to_class - settings)
    passed = [each for each in get_signature_parameters(kind) if each.name not in taken]
    return passed, taken


def misfit(name: str, value: Any, expected: Any) -> str:
    """Say why a value is none of the expected type; empty where no reason is found."""
    types = [*_alternatives(expected)]
    bases = [kind for kind in types if isinstance(kind, type) and not issubclass(kind, _PLAIN)]
    if isinstance(value, list):
        inner = [get_args(kind)[0] for kind in types if get_args(kind)]
        sentences = (misfit(name, each, Union[(*inner,)]) for each in value if inner)
        if sentence := next(filter(None, sentences), ""):
            return sentence
    named = value if isinstance(value, Mapping) else {CLASS: value}
    path = named.get(CLASS)
    if bases and isinstance(path, str) and (value is not path or str not in types):
        module, _, short = path.rpartition(".")
        named_so = getattr(sys.modules.get(module), short, None)  # the parser has imported it
        kinds = plugins.subclasses(bases[0])
        kind = next((k for k in kinds if k is named_so or path == k.__name__), None)
        if kind is None:
            return _unknown_class(path, bases[0])
        if inspect.isabstract(kind):
            return _abstract_class(path)
        more = {key: each for key, each in named.items() if key not in (CLASS, "init_args")}
        return mistake(kind, more | (named.get("init_args") or {}))
    parser = ArgumentParser(exit_on_error=False)
    try:
        parser.add_argument("--value", type=expected)
        parser.parse_object({"value": value})
    except ArgumentError:
        type_name = re.sub(r"<class '(.+)'>", r"\1", str(expected))
        type_name = re.sub(r"\b(?:\w+\.)+", "", type_name)
        return f"The setting {name} takes {type_name}, not {value}.{hint(str(value))}"
    except ValueError:  # a type that jsonargparse does not know
        return ""
    return ""


def _alternatives(expected: Any) -> Iterator[Any]:
    """A type's alternatives; in place of what makes an object, the object's type."""
    origin = get_origin(expected)
    if origin in (Union, UnionType):
        for each in get_args(expected):
            yield from _alternatives(each)
    else:
        yield get_args(expected)[-1] if origin is Callable else expected


def _unknown_class(path: str, base: type[Any]) -> str:
    plugins.installed().load_all()
    kinds = [each for each in plugins.subclasses(base) if not inspect.isabstract(each)]
    names = {kind.__name__ for kind in kinds if not kind.__name__.startswith("_")}
    mend = " Install the package that provides it, or correct the name."
    return (
        f"There is no class {path!r} among those of the kind {base.__name__}. Installed are: "
        f"{', '.join(sorted(names)) or 'none'}.{hint(path) or did_you_mean(path, names) or mend}"
    )


def _abstract_class(name: str) -> str:
    for part in plugins.installed().every_part:
        if name in (part.name, part.path.replace(":", ".")):
            try:
                part.load()
            except PluginError as error:
                return str(error)
    return f"The class {name} is abstract: name one derived from it that defines what it lacks."
