"""`lightrec plugins search`: packages that are known, by words; the list is ``packages.yaml``."""

import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from lightrec.errors import DataError, FetchError

PACKAGED: Final = Path(__file__).parents[1] / "packages.yaml"
TIMEOUT: Final = 5.0
"""Seconds that an address may take to answer."""
LARGEST: Final = 1 << 20
"""Bytes that are read of a list."""
TOPIC: Final = "lightrec-plugin"
"""The topic on GitHub, and the keyword on PyPI, by which others find packages for lightrec."""


@dataclass(frozen=True)
class Listed:
    """A package of the list.

    :param name: on PyPI.
    :param about: what it is for, in a sentence.
    :param kinds: the slots that it fills, such as ``rewards``.
    :param address: of its code: a URL, or a folder of lightrec's repository.
    :param checked: the version of lightrec with which its checks passed.
    :param first_party: whether it is of lightrec's repository.
    """

    name: str
    about: str
    kinds: tuple[str, ...]
    address: str
    checked: str
    first_party: bool = False


def packages(index: str = "") -> list[Listed]:
    """Read a list of packages.

    :param index: a URL or a file; empty for the list that lightrec brings.
    :raises FetchError: where the address does not answer in time.
    :raises DataError: where it is no such list.
    """
    content = _content(index) if index else PACKAGED.read_bytes()
    try:
        entries = yaml.safe_load(content)
        return [_listed(**entry) for entry in entries]
    except (yaml.YAMLError, UnicodeDecodeError, TypeError) as error:
        said = " ".join(str(error).split())
        raise DataError(
            f"{index or PACKAGED} is no list of packages: {said}. Each entry has a `name`, what it "
            "is `about`, its `kinds`, its `address`, and the version with which it was `checked`."
        ) from None


def _listed(kinds: Iterable[str], first_party: bool = False, **texts: Any) -> Listed:
    plain = {key: _printable(text) for key, text in texts.items()}
    return Listed(kinds=tuple(map(_printable, kinds)), first_party=first_party is True, **plain)


def _printable(text: object) -> str:
    """A text of a list from elsewhere, without codes by which a terminal does things."""
    return "".join(filter(str.isprintable, str(text)))


def _content(index: str) -> bytes:
    if not index.startswith(("https://", "http://")):
        try:
            return Path(index).read_bytes()
        except OSError as error:
            raise DataError(f"The list of packages cannot be read: {error}.") from None
    try:
        with urllib.request.urlopen(index, timeout=TIMEOUT) as answer:
            content: bytes = answer.read(LARGEST)
            return content
    except (OSError, ValueError) as error:
        raise FetchError(
            f"{index} could not be read: {error}. Without --index the list that lightrec brings is "
            "searched, which needs no network."
        ) from None


def search(words: list[str], *, index: str = "") -> None:
    """Search the packages for lightrec that are known, installed or not.

    examples:
      lightrec plugins search music
      lightrec plugins search rewards --index https://example.org/packages.yaml

    Only the list that lightrec brings is read, unless --index names another.

    :param words: such as music, or a slot such as rewards; a package has them all.
    :param index: a URL or a file of a list to search in place of lightrec's.
    """
    wanted = [word.lower() for word in words]
    fitting = [
        package
        for package in packages(index)
        if all(word in f"{package.name} {package.about} {package.kinds}".lower() for word in wanted)
    ]
    for package in fitting:
        whose = "of lightrec" if package.first_party else "of others"
        print(f"{package.name}: {package.about}")
        print(f"  adds {', '.join(package.kinds)}")
        print(f"  {package.address}, {whose}, checked with lightrec {package.checked}")
    if not fitting:
        print(
            f"No known package has {' and '.join(words)} in its name, purpose or kinds. Others are "
            f"found on GitHub and PyPI by the topic {TOPIC}."
        )
