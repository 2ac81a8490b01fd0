"""The bytes of a text file as UTF-8, whatever it is compressed with and encoded in."""

import codecs
import gzip
import mmap
import re
import zlib
from pathlib import Path
from typing import Final

import pyarrow as pa

from lightrec import plugins
from lightrec.data.files import check_content
from lightrec.errors import DataError

COMPRESSED: Final = {".gz": "gzip", ".zst": "zstd"}
"""Endings of compressed files, and the names of their formats."""

_BLOCK: Final = 1 << 20
_ENOUGH: Final = 1 << 16
_LETTER: Final = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_FEW: Final = re.compile(rb"(?<![\x80-\xff])[\x80-\xff]{1,2}(?![\x80-\xff])")
_WORD: Final = re.compile(rb"[^\s,;:|\"]*[\x80-\xff][^\s,;:|\"]*")
_ODD: Final = re.compile(
    r"[ÐÝÞðýþƒ\x81\x8d\x8f\x90\x9d]|(?<=[A-Za-zÀ-ÿŒœ])[¡-¶¸-¿×÷](?=[A-Za-zÀ-ÿŒœ])|[£¹³¼¾](?=[a-zß-ÿ])"
)
"""Letters that texts in Windows-1252 seldom have, and those of other Windows encodings often."""
_OTHERS: Final = (
    *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "iso8859_2", "koi8_r"),
    *("gb18030", "euc_kr", "shift_jis", "euc_jp", "big5"),
)
_ADVICE: Final = (
    "convert it from the right encoding, for example with `iconv -f cp1250 -t utf-8 OLD > NEW`."
)
_NAMES: Final = {"utf-8": "UTF-8", "cp1252": "Windows-1252", "gb18030": "GB 18030"}
_MARKS: Final = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def open_text(path: Path) -> tuple[bytes | mmap.mmap, str]:
    """The text of a file, mapped from disk where it is plain UTF-8, and what it was.

    Text that is not UTF-8 is taken for Windows-1252 (which includes Latin-1) or GB 18030 where its
    letters say so, with a warning where words may be others; a few damaged letters in UTF-8 are
    left for the reader to name.

    :returns: the text, perhaps with a byte-order mark, and words such as ``UTF-16, gzip``.
    :raises DataError: if the file is missing, not readable, damaged, or in another encoding.
    """
    zipped = COMPRESSED.get(path.suffix.lower())
    check_content(path, zipped or "text")
    if zipped:
        text: bytes | mmap.mmap = _unzipped(path, zipped)
    else:
        with path.open("rb") as file:
            text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
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
    # In Western text, such bytes stand among plain letters, and few are odd ones.
    few = sum(map(len, _FEW.findall(lines)))
    odd = len(_ODD.findall(lines.decode("cp1252", "replace")))
    if _is_chinese(bytes(lines)):
        name = "gb18030"
    elif few > 0.8 * high and odd <= 0.1 * high:
        name = "cp1252"
    else:
        raise _unknown(bytes(lines), path)
    readings = [[w.decode(n, "replace") for n in (name, "cp1250")] for w in _WORD.findall(lines)]
    if unlike := dict.fromkeys(repr(word) for word, other in readings if word != other):
        plugins.warn(
            f"{path} is not UTF-8 and is read as {_NAMES[name]}, with words such as "
            f"{', '.join([*unlike][:3])}. If they are wrong, {_ADVICE}"
        )
    return name


def _is_chinese(text: bytes) -> bool:
    """Whether text is common Chinese in GB 18030, and can be neither Korean nor of single bytes.

    Each letter counts once: a log repeats few words.
    """
    try:
        letters = [c.encode("gb2312", "ignore") for c in {*text.decode("gb18030")} if c > "\x7f"]
    except UnicodeDecodeError:
        return False
    common = [c for c in letters if c and c[0] <= 0xD7]
    # Syllables of EUC-KR begin below the first; Cyrillic and Greek letters are above the second.
    beyond = sum(c[0] > 0xC8 for c in common)
    below = sum(min(c) < 0xC0 for c in common)
    return len(common) >= 0.8 * len(letters) and min(beyond, below) > 0.1 * len(letters)


def _unknown(text: bytes | mmap.mmap, path: Path) -> DataError:
    """Show what the first word would be in several encodings."""
    word = _WORD.search(bytes(text[:_ENOUGH]))
    shown = {name: word[0].decode(name, "replace") for name in _OTHERS} if word else {}
    readings = [f"{w!r} in {name}" for name, w in shown.items() if re.fullmatch(r"[^\W_]+", w)]
    would = f"A word would be {', '.join(readings)}. " if readings else ""
    return DataError(
        "The text is neither UTF-8 nor UTF-16, Windows-1252 or GB 18030 beyond doubt. "
        f"{would}To have it read, {_ADVICE}",
        path,
    )
