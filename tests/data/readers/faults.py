"""Small clean logs in the format of each reader, and the ways in which files get broken."""

import gzip
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from random import Random

import polars as pl

from lightrec.data.catalog import Catalog, Users
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Tables
from lightrec.data.readers.canonical import write_tables

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


def _canonical(folder: Path, random: Random) -> Path:
    user, item, value, time = zip(*_rows(random), strict=True)
    log = InteractionLog(pl.DataFrame({"user": user, "item": item, "value": value, "time": time}))
    items = Catalog(pl.DataFrame({"item": sorted(set(item)), "year": 1}))
    write_tables(Tables(log, items, Users(pl.DataFrame({"user": sorted(set(user))}))), folder)
    return folder


def _recbole(folder: Path, random: Random) -> Path:
    rows = _rows(random)
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    (folder / "shop.inter").write_text(header + _lines(rows, "\t"))
    items = [(item, 'The "Two"', "1.5") for item in sorted({row[1] for row in rows})]
    header = "item_id:token\ttitle:token_seq\tprice:float\n"
    (folder / "shop.item").write_text(header + _lines(items, "\t"))
    users = [(user, "24") for user in sorted({row[0] for row in rows})]
    (folder / "shop.user").write_text("user_id:token\tage:token\n" + _lines(users, "\t"))
    return folder


def _movielens_100k(folder: Path, random: Random) -> Path:
    rows = _rows(random)
    (folder / "u.data").write_text(_lines(rows, "\t"))
    films = [(r[1], "É, The (1979)", "", "", "", *"0" * 19) for r in rows]
    (folder / "u.item").write_text(_lines(list(dict.fromkeys(films)), "|"), encoding="latin-1")
    people = [(user, "24", "M", "other", "1") for user in sorted({row[0] for row in rows})]
    (folder / "u.user").write_text(_lines(people, "|"))
    return folder


def _movielens_1m(folder: Path, random: Random) -> Path:
    rows = _rows(random)
    (folder / "ratings.dat").write_text(_lines(rows, "::"))
    films = list(dict.fromkeys((row[1], "Été (1979)", "War|Drama") for row in rows))
    (folder / "movies.dat").write_text(_lines(films, "::"), encoding="latin-1")
    return folder


def _movielens_latest(folder: Path, random: Random) -> Path:
    rows = _rows(random)
    text = "userId,movieId,rating,timestamp\n" + _lines(rows, ",")
    (folder / "ratings.csv").write_text(text)
    films = list(dict.fromkeys((row[1], '"Casino, Le (1995)"', "War|Drama") for row in rows))
    (folder / "movies.csv").write_text("movieId,title,genres\n" + _lines(films, ","))
    return folder


FORMATS: dict[str, Callable[[Path, Random], Path]] = {
    "csv": _csv,
    "gzip": _gzip,
    "parquet": _parquet,
    "canonical": _canonical,
    "recbole": _recbole,
}
if find_spec("lightrec_video"):
    FORMATS |= {"100k": _movielens_100k, "1m": _movielens_1m, "latest": _movielens_latest}


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


def _random_bytes(content: bytes, random: Random) -> bytes:
    return _insert(random.randbytes(random.randrange(1, 200)))(content, random)


def _field(*values: bytes) -> Callable[[bytes, Random], bytes]:
    """Put a value in the place of some field, found as what stands between two separators."""

    def replace(content: bytes, random: Random) -> bytes:
        mark = max(b",\t|:\n", key=content.count)
        pieces = content.split(bytes([mark]))
        pieces[random.randrange(len(pieces))] = random.choice(values)
        return bytes([mark]).join(pieces)

    return replace


def _shuffle_lines(content: bytes, random: Random) -> bytes:
    lines = content.splitlines(keepends=True)
    random.shuffle(lines)
    return b"".join(lines)


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
    "random bytes": _random_bytes,
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
    "two headers": lambda content, _: content.partition(b"\n")[0] + b"\n" + content,
    "lines shuffled": _shuffle_lines,
    "other separator": lambda content, _: content.replace(b",", b";").replace(b"\t", b","),
    "classic line ends": lambda content, _: content.replace(b"\n", b"\r"),
    "compressed": lambda content, _: gzip.compress(content, mtime=0),
}
"""Ways to break the bytes of a file."""

TYPES = (
    pl.Boolean,
    pl.Binary,
    pl.Date,
    pl.Float32,
    pl.Int8,
    pl.UInt64,
    pl.Duration("us"),
    pl.Datetime("ns"),
    pl.Time,
    pl.Categorical,
    pl.List(pl.Float64),
    pl.Decimal(20, 3),
    pl.Null,
)


def retype(path: Path, random: Random) -> None:
    """Give a column of a Parquet file another type, as far as its values can have it."""
    frame = pl.read_parquet(path)
    name, kind = random.choice(frame.columns), random.choice(TYPES)
    column = frame[name]
    if random.random() < 0.3:
        changed = pl.Series(name, [{"a": n} for n in range(frame.height)])
    else:
        try:
            changed = column.cast(kind, strict=False)
        except pl.exceptions.PolarsError:
            changed = pl.Series(name, [None], kind).new_from_index(0, frame.height)
    if changed.dtype.is_float() and random.random() < 0.5:
        changed = changed.set(pl.Series([True] + [False] * (frame.height - 1)), float("nan"))
    frame.with_columns(changed).write_parquet(path)


def damage(path: Path, names: list[str], random: Random) -> Path:
    """Break one file of a format.

    :param path: what the format's function returned.
    :param names: out of ``BREAK``, in the order in which it is done.
    :returns: the file that was broken.
    """
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    file = random.choice(files)
    if file.suffix == ".parquet" and random.random() < 0.5:
        retype(file, random)
        return file
    content = file.read_bytes()
    inside = file.suffix == ".gz" and random.random() < 0.6
    content = gzip.decompress(content) if inside else content
    for name in names:
        content = BREAK[name](content, random)
    file.write_bytes(gzip.compress(content, mtime=0) if inside else content)
    return file
