"""`lightrec plugins`: list and show plugins; begin a new one."""

import importlib
import inspect
import re
import shutil
import textwrap
from collections.abc import Iterable
from functools import partial
from importlib import metadata
from json import dumps
from pathlib import Path

import lightrec
from lightrec import plugins
from lightrec.errors import PluginError, RecipeError, no_such
from lightrec.hookspecs import API_VERSION
from lightrec.moved import hint

KINDS = (
    *("domain", "reader", "encoder", "reward", "reward-learner", "world", "policy", "learner"),
    *("tower", "loss", "evaluator", "stage", "command"),
)
"""Parts that a new package can begin with; each is a module of lightrec-hello."""
FILES = (".py", ".toml", ".md", ".typed", ".yaml", ".yml")
"""Endings of the files that are copied of the package that a new one begins as."""
EMPTY = re.compile(r"^\w+ = gives\(\s*(\{\s*\})?\s*\)\n", re.MULTILINE)
"""A hook that gives nothing."""


def list_plugins(*, json: bool = False, strict: bool = False) -> int:
    """List what is installed, and who provides it.

    example:
      lightrec plugins list

    :param json: for programs to read.
    :param strict: import every part, which takes seconds, and exit with 2 if anything is broken.
    """
    installed = plugins.installed()
    unusable = installed.load_all() if strict else []
    status = 2 if strict and (installed.complaints or unusable) else 0
    if json:
        refused = [{"slot": s, "name": n, "why": why} for (s, n), why in installed.refused.items()]
        content = {
            "packages": [vars(package) for package in installed.packages],
            "parts": [vars(part) for part in installed.every_part],
            "broken": installed.broken,
            "refused": refused,
            "unusable": unusable,
        }
        print(dumps(content, indent=2))
        return status
    for slot, parts in installed.parts.items():
        if parts:
            print(f"{slot}:")
        for part in parts.values():
            print(f"  {part.name:<20} {part.distribution:<24} {part.path}")
    for package in installed.packages:
        if not installed.parts_of(package) and str(package) not in installed.broken:
            print(f"{package}: no part by name; its modules are imported")
    bad = {"broken": installed.broken.values(), "refused": installed.refused.values()}
    for fault, sentences in (bad | {"unusable": unusable}).items():
        for sentence in sentences:
            print(f"{fault}: {sentence}")
    return status


def show(name: str) -> int:
    """Show a package with its parts, or the parts of a name with their arguments.

    examples:
      lightrec plugins show video
      lightrec plugins show TextEncoder

    :param name: such as lightrec-video, video or TextEncoder.
    :raises PluginError: where the package is broken, or nothing is called so.
    """
    installed = plugins.installed()
    package = installed.package(name)
    parts = [part for part in installed.every_part if part.name == name]
    refused = [why for (_, refused), why in installed.refused.items() if refused == name]
    if package is None and not parts and not refused:
        raise PluginError(
            f"There is no plugin and no part called {name!r}."
            f"{hint(name) or ' `lightrec plugins list` shows all.'}"
        )
    if package is not None:
        _show_package(package, installed)
    for part in parts:
        if package is None or part.distribution != str(package):
            print(_about_part(part))
    for sentence in refused:
        print(f"refused: {sentence}")
    return 2 if refused and not parts else 0


def _show_package(package: plugins.Package, installed: plugins.Plugins) -> None:
    if str(package) in installed.broken:
        raise PluginError(installed.broken[str(package)])
    summary = metadata.metadata(package.name).json.get("summary", "")
    module = importlib.import_module(package.module)
    print(f"{package}\n  {summary}".rstrip())
    version = getattr(module, "LIGHTREC_API", f"not stated; the newest is {API_VERSION}")
    print(f"  hooks: {package.module} (entry point {package.entry_point!r}, API {version})")
    print(f"  files: {Path(str(module.__file__)).parent}")
    for part in installed.parts_of(package):
        print(f"\n{_about_part(part)}")
    for sentence in installed.refused.values():
        if str(package) in sentence:
            print(f"\nrefused: {sentence}")


def _about_part(part: plugins.Part) -> str:
    """Put a part into words: provider, place, docstring and arguments."""
    heading = f"{part.name} ({part.slot}, {part.distribution})\n  {part.path}"
    if part.slot == plugins.RECIPES:
        names = ", ".join(sorted(path.stem for path in Path(part.path).glob("*.yaml")))
        return f"{heading}\n  {names}"
    try:
        cls = part.load()
    except PluginError as error:
        return f"{heading}\n  broken: {error}"
    text = textwrap.indent(inspect.getdoc(cls) or "It has no docstring.", "  ")
    # A metaclass, as TorchRL's of simulators, would give its own arguments.
    make = partial(cls.__init__, None) if isinstance(cls, type) else cls  # type: ignore[misc]
    arguments = inspect.signature(make).parameters
    # Where no class has a constructor, that of `object` or of torch's Module, which refuses all.
    shown = [] if [*arguments] == ["args", "kwargs"] else map(str, arguments.values())
    return f"{heading}\n{text}\n  {cls.__name__}({', '.join(shown)})"


def new(
    name: str,
    *,
    with_: str = "domain,encoder,reward",
    field: bool = False,
    to: Path | None = None,
) -> None:
    """Write a package to begin with: parts that work, recipes that use them, and their tests.

    examples:
      lightrec plugins new chess
      lightrec plugins new courses --field
      lightrec plugins new chess --with domain,reader,policy,learner

    :param name: a short name such as chess.
    :param with_: its parts, with commas between: domain, reader, encoder, reward, reward-learner,
        world, policy, learner, tower, loss, evaluator, stage, command.
    :param field: in place of --with, a field of use: domain, reader, reward, evaluator.
    :param to: the folder to write (default: lightrec-NAME, here).
    :raises RecipeError: where the name cannot be used, there is no such part, or the folder is
        there already.
    """
    words = "domain,reader,reward,evaluator" if field else with_
    chosen = [kind.strip() for kind in words.split(",")]
    for kind in chosen:
        if kind not in KINDS:
            raise RecipeError(no_such("a part that a new package can begin with", kind, KINDS))
    word = name.removeprefix("lightrec-").replace("-", "_")
    distribution = f"lightrec-{word.replace('_', '-')}"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", word) or word == "lightrec":
        raise RecipeError(
            f"A plugin cannot be called {name!r}: begin with a small letter, and use small "
            "letters, digits and hyphens, such as chess or board-games."
        )
    installed = plugins.installed()
    if installed.package(distribution) or word in installed.parts["domains"]:
        raise RecipeError(f"A plugin or domain {word!r} is installed already: take another name.")
    folder = to or Path(distribution)
    if folder.exists():
        raise RecipeError(f"{folder} exists already; name another folder with --to.")

    def changed(text: str) -> str:
        text = text.replace("lightrec-hello", distribution)
        return text.replace("Hello", _title(word)).replace("hello", word)

    package = Path(lightrec.__file__).parent
    inside = package / "skeleton"  # lightrec-hello, as a wheel holds it
    root = inside if inside.is_dir() else package.parent / "plugins" / "lightrec-hello"
    left_out = [kind.replace("-", "_") for kind in KINDS if kind not in chosen]
    for path in sorted(root.rglob("*")):
        another = path.suffix == ".py" and path.stem.removeprefix("test_") in left_out
        if path.suffix in FILES and path.is_file() and not another:
            text = path.read_text(encoding="utf-8")
            kept = _without(left_out, text)
            if path.suffix == ".yaml" and kept != text and "ello" not in kept:
                continue  # a recipe of nothing but parts that are left out
            target = folder / changed(str(path.relative_to(root)))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(changed(kept), "utf-8")
            shutil.copymode(path, target)
    print(
        f"{folder}: a package that works and waits to be changed. Next:\n"
        f"  pip install -e '{folder}[test]'\n  lightrec plugins check {word}\n"
        f"  lightrec run {word} --offline --fast-dev-run\n"
        f"{folder}/README.md tells how a run uses its parts."
    )


def _without(modules: Iterable[str], text: str) -> str:
    """Take the lines that name modules of lightrec-hello, or their classes, out of a file of it.

    Hooks and keys of YAML that then hold nothing go as well.
    """
    names = [n for m in modules for n in (f"lightrec_hello[./]{m}", f"Hello{_title(m)}")]
    left_out = re.compile(rf"\b({'|'.join(names) or '(?!)'})\b")
    kept: list[str] = []  # from the last line to the first
    for line in reversed(text.splitlines(keepends=True)):
        key = re.fullmatch(r"( *)\w+:\n", line)
        holds = not key or (kept and kept[-1].startswith(f"{key[1]}  "))
        if holds and not left_out.search(line):
            kept.append(line)
    return EMPTY.sub("", "".join(reversed(kept)))


def _title(word: str) -> str:
    return word.title().replace("_", "")
