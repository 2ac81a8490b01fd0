"""Writing a new plugin package: lightrec-hello under another name."""

import re
import shutil
from pathlib import Path

import lightrec
from lightrec import plugins
from lightrec.errors import RecipeError

FILES = (".py", ".toml", ".md", ".typed")


def template() -> Path:
    """Give lightrec-hello: inside the package in a wheel, beside it in a checkout."""
    package = Path(lightrec.__file__).parent
    inside = package / "skeleton"
    return inside if inside.is_dir() else package.parent / "plugins" / "lightrec-hello"


def write_package(name: str, to: Path | None = None) -> tuple[str, Path]:
    """Write a package that adds an encoder, a reward and a domain, and tests that check them.

    :param name: such as ``chess``; the distribution is then called ``lightrec-chess``.
    :param to: the folder to write; by default named after the distribution, where one stands.
    :returns: the word by which the domain goes, and the folder.
    :raises RecipeError: where the name cannot be used or the folder is there already.
    """
    word = name.removeprefix("lightrec-").replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", word):
        raise RecipeError(
            f"A plugin cannot be called {name!r}: begin with a small letter, and use small "
            "letters, digits and hyphens, such as chess or board-games."
        )
    distribution = f"lightrec-{word.replace('_', '-')}"
    if word == "lightrec":
        raise RecipeError("A plugin cannot be called lightrec, as lightrec itself is.")
    found = plugins.installed()
    if found.package(distribution) or word in found.parts["domains"]:
        raise RecipeError(
            f"A plugin or domain called {word!r} is installed already: take another name."
        )
    folder = to or Path(distribution)
    if folder.exists():
        raise RecipeError(f"{folder} exists already; name another folder with --to.")
    root = template()
    changes = {
        "lightrec-hello": distribution,
        "Hello": "".join(part.capitalize() for part in word.split("_")),
        "hello": word,
    }
    for path in sorted(root.rglob("*")):
        if path.suffix in FILES and path.is_file():
            target = folder / _changed(str(path.relative_to(root)), changes)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_changed(path.read_text(encoding="utf-8"), changes), "utf-8")
            shutil.copymode(path, target)
    return word, folder


def _changed(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        text = text.replace(old, new)
    return text
