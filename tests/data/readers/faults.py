"""Small clean logs in the format of each reader, and the ways in which files get broken."""

import gzip
from collections.abc import Callable
from pathlib import Path
from random import Random

import polars as pl

ROWS = 12


def _rows(random: Random) -> list[tuple[str, str, str, str]]:
    return [
        (
            f"u{random.randrange(4)}",
            str(random.randrange(10**9)),
            str(random.randrange(1, 6)),
            str(1_600_000_000 + random.randrange(10**6)),
        )
        for _ in range(ROWS)
    ]


def _lines(rows: list[tuple[str, ...]], separator: str) -> str:
    return "".join(separator.join(row) + "\n" for row in rows)


def _csv(folder: Path, random: Random) -> Path:
    rows = [(user, f'"é, {item}"', *rest) for user, item, *rest in _rows(random)]
    path = folder / "log.csv"
    path.write_text("user_id,item_id,rating,timestamp\n" + _lines(rows, ","), encoding="utf-8")
    return path


def _gzip(folder: Path, random: Random) -> Path:
    path = _csv(folder, random)
    zipped = folder / "log.csv.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    path.unlink()
    return zipped


def _parquet(folder: Path, random: Random) -> Path:
    path = folder / "log.parquet"
    user, item, value, time = zip(*_rows(random), strict=True)
    frame = pl.DataFrame({"user": user, "item": item, "value": value, "time": time})
    frame = frame.cast({"item": pl.Int64, "value": pl.Float64, "time": pl.Int64})
    frame.with_columns(candidates=pl.concat_list("item")).write_parquet(path)
    return path


FORMATS: dict[str, Callable[[Path, Random], Path]] = {
    "csv": _csv,
    "gzip": _gzip,
    "parquet": _parquet,
}


def _flip(content: bytes, random: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(random.randrange(1, 9)):
        if changed:
            changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


def _cut(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _insert(piece: bytes) -> Callable[[bytes, Random], bytes]:
    def insert(content: bytes, random: Random) -> bytes:
        at = random.randrange(len(content) + 1)
        return content[:at] + piece + content[at:]

    return insert


def _field(*values: bytes) -> Callable[[bytes, Random], bytes]:
    """Put a value in the place of some field, found as what stands between two separators."""

    def replace(content: bytes, random: Random) -> bytes:
        mark = max(b",\t|:\n", key=content.count)
        pieces = content.split(bytes([mark]))
        pieces[random.randrange(len(pieces))] = random.choice(values)
        return bytes([mark]).join(pieces)

    return replace


def _cut_line(content: bytes, random: Random) -> bytes:
    lines = content.split(b"\n")
    row = random.randrange(len(lines))
    lines[row] = lines[row][: random.randrange(len(lines[row]) + 1)]
    return b"\n".join(lines)


def _as(encoding: str) -> Callable[[bytes, Random], bytes]:
    def encode(content: bytes, random: Random) -> bytes:
        return content.decode("utf-8", "replace").encode(encoding, "replace")

    return encode


BREAK: dict[str, Callable[[bytes, Random], bytes]] = {
    "flip": _flip,
    "cut": _cut,
    "cut line": _cut_line,
    "nul": _insert(b"\0"),
    "quote": _insert(b'"'),
    "quotes": _insert(b'"\n"'),
    "carriage return": _insert(b"\r"),
    "blank lines": _insert(b"\n\n"),
    "separators": _insert(b",,\t::|;"),
    "bad number": _field(b"nan", b"inf", b"-inf", b"1e400", b"9" * 40, b"-1", b"0x10", b"NaN"),
    "bad value": _field(b"", b" ", b"soon", b"2024-13-45", b"true", b"[1,2]", b"-99999-01-01"),
    "latin-1": _as("latin-1"),
    "utf-16": _as("utf-16"),
    "byte-order mark": lambda content, _: b"\xef\xbb\xbf" + content,
    "empty": lambda content, _: b"",
    "header only": lambda content, _: content.partition(b"\n")[0] + b"\n",
    "no header": lambda content, _: content.partition(b"\n")[2],
    "classic line ends": lambda content, _: content.replace(b"\n", b"\r"),
    "compressed": lambda content, _: gzip.compress(content, mtime=0),
}
"""Ways to break the bytes of a file."""


def damage(path: Path, names: list[str], random: Random) -> Path:
    """Break one file of a format.

    :param path: what the format's function returned.
    :param names: out of ``BREAK``, in the order in which it is done.
    :returns: the file that was broken.
    """
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    file = random.choice(files)
    content = file.read_bytes()
    inside = file.suffix == ".gz" and random.random() < 0.6
    content = gzip.decompress(content) if inside else content
    for name in names:
        content = BREAK[name](content, random)
    file.write_bytes(gzip.compress(content, mtime=0) if inside else content)
    return file
