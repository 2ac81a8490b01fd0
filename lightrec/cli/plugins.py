"""`lightrec plugins`."""

import argparse
import importlib
import inspect
import json
import textwrap
from importlib import metadata
from pathlib import Path

from lightrec import plugins
from lightrec.errors import PluginError
from lightrec.hookspecs import API_VERSION


def parser() -> argparse.ArgumentParser:
    """Give the parser of `lightrec plugins`."""
    parser = argparse.ArgumentParser(
        prog="lightrec plugins",
        description="List the installed plugins, show or check one, begin a new one.",
        epilog="examples:\n  lightrec plugins list\n  lightrec plugins show video\n"
        "  lightrec plugins show TextEncoder\n  lightrec plugins check lightrec-video\n"
        "  lightrec plugins new chess",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="what is installed, and who provides it")
    listing.add_argument("--json", action="store_true", help="for programs to read")
    listing.add_argument("--strict", action="store_true", help="exit with 2 if anything is broken")
    showing = actions.add_parser("show", help="one package, or one part with its arguments")
    showing.add_argument("name", help="such as lightrec-video, video or TextEncoder")
    checking = actions.add_parser("check", help="whether a package keeps its contracts")
    checking.add_argument("name", help="such as lightrec-video or video")
    beginning = actions.add_parser("new", help="write a package to begin with")
    beginning.add_argument("name", help="a short name such as chess")
    beginning.add_argument(
        "--to", type=Path, help="the folder to write (default: lightrec-NAME, here)"
    )
    return parser


def main(command: str, arguments: list[str]) -> int:
    """Do what was asked."""
    chosen = parser().parse_args(arguments)
    if chosen.action == "list":
        return list_plugins(chosen.json, chosen.strict)
    if chosen.action == "show":
        return show(chosen.name)
    if chosen.action == "check":
        return check(chosen.name)
    from lightrec.stages.skeleton import write_package

    word, folder = write_package(chosen.name, chosen.to)
    print(
        f"{folder}: a package that works and waits to be changed. Next:\n"
        f"  pip install -e {folder}\n  lightrec plugins check {word}\n"
        f"{folder}/README.md tells how a run uses its parts."
    )
    return 0


def list_plugins(as_json: bool, strict: bool) -> int:
    """List plugins and their parts without importing the parts."""
    found = plugins.installed()
    status = 2 if strict and found.complaints else 0
    if as_json:
        content = {
            "packages": [vars(package) for package in found.packages],
            "parts": [vars(part) for slot in found.parts.values() for part in slot.values()],
            "broken": found.broken,
            "refused": [
                {"slot": slot, "name": name, "why": why}
                for (slot, name), why in found.refused.items()
            ],
        }
        print(json.dumps(content, indent=2))
        return status
    for slot, parts in found.parts.items():
        if parts:
            print(f"{slot}:")
        for part in parts.values():
            print(f"  {part.name:<20} {part.distribution:<24} {part.path}")
    for sentence in found.broken.values():
        print(f"broken: {sentence}")
    for sentence in found.refused.values():
        print(f"refused: {sentence}")
    return status


def show(name: str) -> int:
    """Show a package with its parts, or the parts of a name with their arguments.

    :raises PluginError: where the package is broken, or nothing is called so.
    """
    found = plugins.installed()
    package = found.package(name)
    parts = [slot[name] for slot in found.parts.values() if name in slot]
    refused = [why for (_, refused), why in found.refused.items() if refused == name]
    if package is not None:
        _show_package(package, found)
    for part in parts:
        if package is None or part.distribution != str(package):
            print(_about_part(part))
    for sentence in refused:
        print(f"refused: {sentence}")
    if package is None and not parts and not refused:
        raise PluginError(
            f"There is no plugin and no part called {name!r}. `lightrec plugins list` shows all."
        )
    return 2 if refused and not parts else 0


def _show_package(package: plugins.Package, found: plugins.Plugins) -> None:
    if str(package) in found.broken:
        raise PluginError(found.broken[str(package)])
    summary = metadata.metadata(package.name).json.get("summary", "")
    module = importlib.import_module(package.module)
    print(f"{package}\n  {summary}".rstrip())
    version = getattr(module, "LIGHTREC_API", f"not stated, taken as {API_VERSION}")
    print(f"  hooks: {package.module} (entry point {package.entry_point!r}, API {version})")
    print(f"  files: {Path(str(module.__file__)).parent}")
    for part in found.parts_of(package):
        print(f"\n{_about_part(part)}")
    for sentence in found.refused.values():
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
    arguments = ", ".join(str(argument) for argument in inspect.signature(cls).parameters.values())
    return f"{heading}\n{text}\n  {cls.__name__}({arguments})"


def check(name: str) -> int:
    """Run every check of a package's contracts and tell the outcome of each."""
    from lightrec.testing import outcomes, plugin_checks

    marks = {"passed": "ok", "failed": "FAILED", "not applicable": "-"}
    counts = dict.fromkeys(marks, 0)
    for outcome in outcomes(plugin_checks(name)):
        counts[outcome.status] += 1
        message = f": {outcome.message}" if outcome.message else ""
        print(f"{marks[outcome.status]:<7} {outcome.check.part}: {outcome.check.name}{message}")
    print(", ".join(f"{count} {status}" for status, count in counts.items()))
    return 2 if counts["failed"] else 0
