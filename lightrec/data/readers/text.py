"""The bytes of a text file as UTF-8, whatever it is compressed with and encoded in."""

import codecs
import gzip
import mmap
import re
import zlib
from pathlib import Path
from typing import Final

import pyarrow as pa
from charset_normalizer import from_bytes

from lightrec.data.files import check_content
from lightrec.errors import DataError

COMPRESSED: Final = {".gz": "gzip", ".zst": "zstd"}
"""Endings of compressed files, and the names of their formats."""

_BLOCK: Final = 1 << 20
_ENOUGH: Final = 1 << 16
_LETTER: Final = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_LONE: Final = re.compile(rb"(?<![\x80-\xff])[\x80-\xff](?![\x80-\xff])")
_NAMES: Final = {"utf-8": "UTF-8", "cp1252": "Windows-1252", "gb18030": "GB 18030"}
_MARKS: Final = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def open_text(path: Path) -> tuple[bytes | mmap.mmap, str]:
    """Return the text of a file, mapped from disk where it is plain UTF-8, and what it was.

    Text that is not UTF-8 is taken for Windows-1252 (which includes Latin-1) or GB 18030 where its
    letters say so; a few damaged letters in UTF-8 are left for the reader to name.

    :returns: the text, perhaps with a byte-order mark, and words such as ``UTF-16, gzip``.
    :raises DataError: if the file is missing, not readable, damaged, or in another encoding.
    """
    zipped = COMPRESSED.get(path.suffix.lower())
    check_content(path, zipped or "text")
    text = _unzipped(path, zipped) if zipped else _mapped(path)
    encoding = _encoding(text, path)
    words = ", ".join(filter(None, [_NAMES.get(encoding, encoding.upper()), zipped]))
    if encoding == "utf-8":
        return text, words
    try:
        return bytes(text).decode(encoding).encode(), words
    except UnicodeDecodeError:
        raise _unknown(text, path) from None


def is_utf8(text: bytes | mmap.mmap) -> bool:
    """Whether all letters are UTF-8."""
    blocks = (text[at : at + _BLOCK] for at in range(0, len(text), _BLOCK))
    try:
        return all(block is not None for block in codecs.iterdecode(blocks, "utf-8"))
    except UnicodeDecodeError:
        return False


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _unzipped(path: Path, kind: str) -> bytes:
    try:
        if kind == "gzip":
            return gzip.decompress(path.read_bytes())
        with pa.input_stream(str(path), compression=kind) as stream:
            return bytes(stream.read())
    except EOFError:
        problem = f"The {kind} file ends too early; copy or download it again."
    except (OSError, zlib.error, pa.ArrowException) as error:
        problem = f"The {kind} file is damaged ({error}); copy or download it again."
    raise DataError(problem, path)


def _encoding(text: bytes | mmap.mmap, path: Path) -> str:
    head = text[:64]
    if marked := _MARKS.get(head[:2]):
        return marked
    # Between plain letters, UTF-16 has zeros.
    for at, name in enumerate(("utf-16-be", "utf-16-le")):
        if head[3:] and not any(head[at::2]):
            return name
    if is_utf8(text):
        return "utf-8"
    lines = bytearray()
    for line in re.finditer(rb"[^\r\n]*[\x80-\xff][^\r\n]*[\r\n]*", text):
        lines += line[0]
        if len(lines) > _ENOUGH:
            break
    high = len(re.findall(rb"[\x80-\xff]", lines))
    damaged = sum(map(len, _LETTER.findall(lines))) > high / 2
    if damaged or re.search(rb"[\0-\x08\x0e-\x1f]", lines):
        return "utf-8"
    found = from_bytes(bytes(lines), cp_isolation=["cp1252", "gb18030"]).best()
    others = ["gb18030", "big5", "shift_jis", "euc_kr"]
    if found is not None and found.encoding == "gb18030" and high > 200:
        found = from_bytes(bytes(lines), cp_isolation=others).best()
    if found is not None and found.encoding in _NAMES:
        return found.encoding
    if len(_LONE.findall(lines)) > high * 0.8:
        return "cp1252"
    raise _unknown(bytes(lines), path)


def _unknown(text: bytes | mmap.mmap, path: Path) -> DataError:
    guess = from_bytes(bytes(text[:_ENOUGH])).best()
    name = guess.encoding if guess is not None else "latin1"
    return DataError(
        f"The text is neither UTF-8 nor UTF-16, Windows-1252 or GB 18030; perhaps it is {name}. "
        f"Convert it with `iconv -f {name} -t utf-8 OLD > NEW`, and look whether its words are "
        "right.",
        path,
    )
