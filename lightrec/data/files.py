"""Files before they are parsed, and files that are written: mode, appearance, a stage's note."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PosixPath
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import unquote, unquote_plus

from platformdirs import user_cache_dir

from lightrec.errors import DataError, LightrecError, RunError

if TYPE_CHECKING:
    from torch import Tensor

STAMP, EXPLAINED = "stage.json", "explained.json"
"""Notes of a finished stage in its folder: the fingerprint of all that went in, and those of the
stages that it read."""
ROOMS: Final = ("current", "logs", "sources", "versions")
"""In a run folder: what is no stage's own."""
RELIABILITY: Final = "reliability.json"
"""Note of a user model's stage: its forecasts and what came true, by bins of probability."""
FORMAT_VERSION: Final = 5
"""Version of the prepared log that the stage ``data`` leaves."""
READ_VERSIONS: Final = (4, FORMAT_VERSION)
"""Versions of prepared logs that can be read; version 4 lacks the arrays ``targets``, ``leads``."""

_MARKS: Final = ("inputs", "files")
_NOTED: Final = {**dict.fromkeys((*_MARKS, "recipe"), dict), "overrides": list, "fingerprint": str}
"""Types of the entries of a stage's note."""
_KINDS: Final = {
    b"PAR1": ("parquet", "a Parquet file", "name it with the ending .parquet"),
    b"\x1f\x8b": ("gzip", "compressed with gzip", "name it with the ending .csv.gz or .tsv.gz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "compressed with Zstandard", "name it with the ending .csv.zst"),
    b"SQLite format 3": (
        "sqlite",
        "a SQLite database",
        "name one of its tables, as in 'sqlite:///shop.db#orders'",
    ),
    b"PK\x03\x04": ("zip", "a zip file or a workbook", "unpack it, or save the sheet as CSV"),
}
"""By first bytes: short name, description, and what to do if text was expected."""


_URL: Final = re.compile(r"[a-z][\w+]+:/+[^/]", re.IGNORECASE)
_LOGIN: Final = re.compile(r"(:/+[^:/@?#]*:)(?!\d+(?:[/?#]|$))([^@]*(?:@[^/?#]*)?)(?=@)")
"""A password: it follows a user in a URL, and is no port."""
_QUERY: Final = re.compile(
    r"([?&;]\s*[^=&;?#]*(?:pass|pwd|secret|token|key|credential|odbc_connect)[^=&;?#]*=)([^&;#]+)",
    re.IGNORECASE,
)


class Url(PosixPath):
    """The URL of a database as it was written: another path loses slashes of its query."""

    text = ""

    def __new__(cls, text: str) -> Self:
        """Keep the text."""
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __str__(self) -> str:
        return self.text or super().__str__()


def located(text: Path | str) -> Path:
    """The path, or the URL of a database, that somebody gave."""
    return text if isinstance(text, Path) else (Url if is_url(text) else Path)(text)


def is_url(path: Path | str) -> bool:
    """Whether this is the URL of a database, which a path writes with a single slash."""
    return bool(_URL.match(str(path)))


def without_password(text: str, url: str = "") -> str:
    """Hide the passwords, tokens and keys of a URL.

    :param text: the URL itself, or what a database says.
    :param url: whose secrets are hidden wherever the text has them.
    """
    for pattern in (_LOGIN, _QUERY):
        for _, secret in pattern.findall(url):
            for form in filter(None, (secret, unquote_plus(secret), unquote(secret))):
                text = text.replace(form, "***")
        text = pattern.sub(r"\1***", text)
    return text


def cache_folder() -> Path:
    """The folder of fetched files: ``$LIGHTREC_CACHE``, else one in the user's cache."""
    return Path(os.environ.get("LIGHTREC_CACHE") or user_cache_dir("lightrec")).expanduser()


def is_plain(name: object) -> bool:
    """Whether a name that a file gives, of a stage or of a file, is a single plain part of a path.

    Any other could lead out of a run folder, or into what belongs to no stage.
    """
    plain = isinstance(name, str) and name.isprintable() and name not in ROOMS
    return plain and re.fullmatch(r"[^./\\:][^/\\:]*", str(name)) is not None


def check_file(path: Path) -> None:
    """Raise a DataError if a path is not a file that can be read."""
    try:
        if path.is_symlink() and not path.exists():
            raise DataError(f"This is a link to {os.readlink(path)}, which does not exist.", path)
        if not path.exists():
            raise DataError("The file does not exist.", path)
        if path.is_dir():
            raise DataError("This is a folder, and a file is needed.", path)
        if not path.is_file():
            raise DataError("This is neither a file nor a folder.", path)
    except (OSError, ValueError) as error:
        raise DataError(f"The path cannot be looked at ({error}).", path) from None
    if not os.access(path, os.R_OK):
        raise DataError("The file may not be read; change its permissions (chmod +r).", path)


def check_input(path: Path) -> None:
    """Raise a DataError if a path is neither a URL nor a file or a folder that can be read."""
    if is_url(path):
        return
    if not path.is_dir():
        check_file(path)
    elif not os.access(path, os.R_OK | os.X_OK):
        raise DataError("The folder may not be read; change its permissions (chmod +rx).", path)


def check_content(path: Path, expected: str) -> None:
    """Raise a DataError if a file cannot be read, or its first bytes are not of the expected kind.

    :param expected: ``parquet``, ``gzip``, ``zstd`` or ``text``.
    """
    check_file(path)
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise DataError("The file is empty.", path)
    unknown = ("", f"something that begins with {head[:16].decode('latin-1')!r}", "")
    kind, words, advice = next((_KINDS[m] for m in _KINDS if head.startswith(m)), unknown)
    if expected == "text" and kind:
        raise DataError(f"The file is {words}, not plain text; {advice}.", path)
    if expected not in ("text", kind):
        wanted = next(words for kind, words, _ in _KINDS.values() if kind == expected)
        named = f"The file's ending says that it is {wanted}, but it is {words}"
        raise DataError(f"{named}; name it by what it is.", path)


def save_tensors(
    tensors: "Mapping[str, Tensor]", path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write named tensors to a safetensors file that others may read too, unlike the library's."""
    from safetensors.torch import save_file  # nothing else here needs torch

    with new_file(path) as part:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part, metadata)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file by one rename."""
    with new_file(path) as part:
        part.write_bytes(content if isinstance(content, bytes) else content.encode())


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A path to write a file to, which becomes ``path`` by one rename at the end of the block.

    Whoever is killed meanwhile leaves no half a file. It has the mode of any new file, from the
    umask, whatever mode a library would give it.
    """
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        part.unlink(missing_ok=True)  # it might be a link
        part.touch()
        mode = part.stat().st_mode
        yield part
        part.chmod(mode)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def appearing(folder: Path, replaces: bool = False) -> Iterator[Path]:
    """A folder to write into, which becomes ``folder`` by one rename at the end.

    :param replaces: whether to replace a folder that is there already; otherwise it stays, as
        another process may have made it in the meantime.
    """
    folder = folder.absolute()
    part, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{end}") for end in ("part", "old"))
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        if replaces and folder.exists():
            os.replace(folder, old)
        try:
            os.replace(part, folder)
        except OSError:
            if replaces or not folder.is_dir():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def leaving_nothing(folder: Path, finished: Path | None = None) -> Iterator[None]:
    """Take away a folder that is filled within the block where the input is refused.

    :param finished: where this is there by then, the folder stays.
    """
    made = [above for above in (folder, *folder.parents) if not above.exists()]
    try:
        yield
    except LightrecError:
        if finished is None or not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            for above in made:
                with suppress(OSError):  # somebody else may have put something there meanwhile
                    above.rmdir()
        raise


def stamp(folder: Path) -> dict[str, Any]:
    """Read the ``stage.json`` of a finished stage.

    :raises RunError: if the stage is not finished.
    """
    if not (path := folder / STAMP).is_file():
        raise RunError(
            f"{folder.parent} holds no finished {folder.name} stage (there is no {path}). Make it "
            "with `lightrec run`, or name another run folder."
        )
    if (facts := _noted(path)) is None:
        raise RunError(f"{path} is damaged: it notes no finished stage. Make the stage again.")
    return facts


def _noted(path: Path) -> dict[str, Any] | None:
    """Read a stage's note; None where it is none."""
    with suppress(ValueError, RecursionError):
        facts = json.loads(path.read_text(encoding="utf-8"))
        if (
            isinstance(facts, dict)
            and "fingerprint" in facts
            and all(isinstance(facts[name], _NOTED[name]) for name in _NOTED.keys() & facts.keys())
            and all(isinstance(mark, str) for n in _MARKS for mark in facts.get(n, {}).values())
        ):
            return facts
    return None


def write_stamp(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the ``stage.json`` of a stage whose other files are all there.

    It notes their hashes, and its own, as ``files``: see :func:`damage`.
    """
    plain = json.loads(json.dumps(facts, default=str))
    text = json.dumps({**plain, "files": _marks(folder, plain)}, indent=2)
    write_whole(folder / STAMP, f"{text}\n")


def damage(run: Path) -> str:
    """Say which file of a run's stages is not the one that the stage left; empty if none is.

    All files are read, which takes long where they are large. Stages that earlier releases made
    have noted nothing of their files.
    """
    for note in sorted(run.glob(f"*/{STAMP}")):
        folder, facts = note.parent, _noted(note) or {"files": {STAMP: ""}}
        marks, noted = _marks(folder, facts), facts.get("files", {})
        for name in (n for n, mark in noted.items() if marks.get(n) != mark):
            return _damaged(folder / name, folder, facts)
    return ""


def undamaged(path: Path) -> Path:
    """A file of a stage that is as the stage left it, for readers that take that for granted.

    :raises RunError: where it is another.
    """
    facts = _noted(path.parent / STAMP) if (path.parent / STAMP).is_file() else None
    noted = (facts or {}).get("files", {}).get(path.name)
    if noted and not (path.is_file() and content_hash(path) == noted):
        raise RunError(_damaged(path, path.parent, facts or {}))
    return path


def _damaged(path: Path, folder: Path, facts: dict[str, Any]) -> str:
    what = "damaged: it is not as the stage left it" if path.exists() else "missing"
    return (
        f"{path} is {what}. Copy the run again, or remove {folder} and make the stage again with "
        f"`{mending(folder.parent, facts)}`."
    )


def content_hash(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _marks(folder: Path, facts: Mapping[str, Any]) -> dict[str, str]:
    """The hashes of a stage's files by their paths in its folder, and that of its facts."""
    text = json.dumps({n: each for n, each in facts.items() if n != "files"}, sort_keys=True)
    marks = {STAMP: hashlib.sha256(text.encode()).hexdigest()}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / STAMP:
            marks[path.relative_to(folder).as_posix()] = content_hash(path)
    return marks


def mending(run: Path, *facts: dict[str, Any]) -> str:
    """The command that makes the outdated stages of a run again.

    :param facts: ``stage.json`` of stages; the first that a run made names its command.
    """
    noted = [str(made.get("command", "")) for made in facts]
    # A folder may come from anybody: only a command of our own is repeated.
    commands = [c for c in noted if c.startswith("lightrec run ") and c.isprintable()]
    return f"{[*commands, 'lightrec run RECIPES'][0]} --out {run}"
