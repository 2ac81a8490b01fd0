"""Readers of GroupLens's MovieLens files, which all give the same columns.

Catalog: item, title (without the year), year, genres (list). Users: age, gender, occupation,
zip_code, as far as the set has them.
"""

from collections.abc import Mapping, Sequence
from os.path import lexists
from pathlib import Path
from typing import Final

import polars as pl

from lightrec.data.catalog import Catalog, Users
from lightrec.data.files import check_file
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Reader
from lightrec.data.readers.delimited import TextTable
from lightrec.data.readers.recbole import RecBoleReader, RecBoleTable
from lightrec.data.readers.table import TableReader
from lightrec.data.schema import Place, Problems
from lightrec.errors import DataError
from lightrec.keys import Column

GENRES: Final = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
"""The genre columns of ``u.item``, in their order."""

_NO_GENRES: Final = ("unknown", "(no genres listed)", "")
_CODES: Final = ("gender", "occupation", "zip_code")
"""Attributes of people that are categories even where all of them are digits."""
_NO_TITLES: Final = ("unknown", "unkonwn")
_LOG_COLUMNS: Final = (Column.USER, Column.ITEM, Column.VALUE, Column.TIME)
_DOUBLY_PARTED: Final = (Column.USER, "", Column.ITEM, "", Column.VALUE, "", Column.TIME)
# "Title (1995)", perhaps with a mark for video or television behind the year.
_TITLE_AND_YEAR: Final = r"^(.*?)\s*\((\d{4})(?:[-–]\d{0,4})?\)\s*(?:\((?:V|TV|mini)\)\s*)*$"


class MovieLensReader(Reader):
    """A MovieLens folder as GroupLens gives it, or RecBole's copy of one.

    - 100K: ``u.data`` with ``u.item`` and ``u.user``
    - 1M, 10M: ``ratings.dat`` with ``movies.dat`` and ``users.dat``
    - latest, 20M, 25M, 32M: ``ratings.csv`` with ``movies.csv``
    - RecBole: ``.inter`` with ``.item`` and ``.user``, where the items have titles and genres

    Item and user tables are optional.
    """

    name = "movielens"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the folder holds one of the above, or the path is such a log file itself."""
        folder, kind = _find(path)
        if kind == "ratings.csv":
            return (folder / "movies.csv").is_file()
        return kind is not None or _is_recbole(path)

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read the ratings.

        :param columns: must be empty, since the formats are fixed.
        :raises DataError: with all problems found, up to 20.
        """
        _check_names(columns, path)
        folder, kind = _find(path)
        if kind is None:
            return RecBoleReader(times=self.times).read_log(path)
        file = folder / kind
        if kind == "ratings.csv":
            return TableReader(times=self.times).read_log(file)
        tabs = kind == "u.data"
        # Fields are parted by "::"; to a reader of one separator every second one is empty.
        names = _LOG_COLUMNS if tabs else _DOUBLY_PARTED
        table = TextTable(file, "\t" if tabs else ":", quote=False, names=names)
        problems = Problems(file)
        frame, place = table.read(_LOG_COLUMNS, problems)
        if not frame.height:
            problems.check()
        with problems.taking():
            log = InteractionLog(frame, times=self.times, place=place)
        problems.check()
        return log

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read the films next to the ratings, where they are there."""
        _check_names(columns, path)
        folder, kind = _find(path)
        if kind == "u.data":
            return _u_item(folder / "u.item")
        if kind == "ratings.dat":
            return _movies_dat(folder / "movies.dat")
        movies = folder / "movies.csv"
        if kind is None:
            found = RecBoleReader().read_items(path)
        else:
            found = TableReader().read_items(movies) if lexists(movies) else None
        if found is None:
            return None
        if kind is None:
            # Put together again, title and year are taken apart as GroupLens's own are.
            year = pl.col("release_year").cast(pl.String).fill_null("")
            full = pl.format("{} ({})", Column.TITLE, year)
            title = pl.coalesce(full, Column.TITLE).alias(Column.TITLE)
            genres = _listed(found.rows, "class", " ")
            return _catalog(found.rows.select(Column.ITEM, title, genres), path)
        rows = found.rows.select(Column.ITEM, Column.TITLE, _listed(found.rows, "genres", "|"))
        return _catalog(rows, movies)

    def read_users(self, path: Path, columns: Mapping[str, str] | None = None) -> Users | None:
        """Read the people next to the ratings, where they are there."""
        _check_names(columns, path)
        folder, kind = _find(path)
        if kind == "u.data":
            return _u_user(folder / "u.user")
        if kind == "ratings.dat":
            return _users_dat(folder / "users.dat")
        found = RecBoleReader().read_users(path) if kind is None else None
        return None if found is None else _users(found.rows, path)


def _check_names(columns: Mapping[str, str] | None, path: Path) -> None:
    if columns:
        raise DataError("The columns of MovieLens files are fixed and cannot be named.", path)


def _find(path: Path) -> tuple[Path, str | None]:
    kinds = ("u.data", "ratings.dat", "ratings.csv")
    if path.name in kinds and path.is_file():
        return path.parent, path.name
    return path, next((kind for kind in kinds if (path / kind).is_file()), None)


def _is_recbole(path: Path) -> bool:
    if not RecBoleReader.recognises(path):
        return False
    log = next(path.glob("*.inter")) if path.is_dir() else path.with_suffix(".inter")
    items = log.with_suffix(".item")
    if not items.is_file():
        return False
    return {"movie_title", "release_year", "class"} <= set(RecBoleTable(items).names)


def _listed(items: pl.DataFrame, name: str, mark: str) -> pl.Expr:
    """Give a column as the lists ``genres``, whether it was recognised as lists or not."""
    if isinstance(items.schema.get(name, pl.Null()), pl.List):
        return pl.col(name).alias("genres")
    column = pl.col(name) if name in items.columns else pl.lit(None)
    return column.cast(pl.String).str.split(mark).alias("genres")


def _catalog(rows: pl.DataFrame, path: Path) -> Catalog:
    """Bring items into the plugin's columns.

    :param rows: item, title (with the year in parentheses) and genres (a list).
    """
    whole = pl.col(Column.TITLE).str.replace_all(r"\s+", " ").str.strip_chars()
    parts = whole.str.extract_groups(_TITLE_AND_YEAR)
    title = pl.coalesce(parts.struct.field("1"), whole)
    bare = title.str.replace(r"\s*\((?:unkonwn|unknown)?\)$", "")
    genres = pl.col("genres").list.filter(~pl.element().is_in(_NO_GENRES))
    rows = rows.select(
        Column.ITEM,
        pl.when(~bare.is_in([*_NO_TITLES, ""])).then(bare).alias(Column.TITLE),
        parts.struct.field("2").cast(pl.Int32).alias("year"),
        pl.when(genres.list.len() > 0).then(genres).alias("genres"),
    )
    return Catalog(rows, place=Place(path))


def _users(rows: pl.DataFrame, path: Path) -> Users:
    known = [name for name in ("age", "gender", "occupation", "zip_code") if name in rows.columns]
    rows = rows.select(Column.USER, *known)
    if "age" in known:
        problems = Problems(path)
        ages = rows["age"].cast(pl.Int32, strict=False)
        bad = ages.is_null() & rows["age"].is_not_null()
        problems.add_rows(bad, lambda row: Place().value(rows["age"], row, "a whole number"))
        problems.check()
        rows = rows.with_columns(ages)
    return Users(rows, place=Place(path), types=dict.fromkeys(_CODES, "category"))


def _u_item(path: Path) -> Catalog | None:
    rows = _rows(path, "|", 24)
    if rows is None:
        return None
    genres = [[g for g, flag in zip(GENRES, row[5:], strict=True) if flag == "1"] for row in rows]
    return _catalog(_item_rows(rows, genres), path)


def _movies_dat(path: Path) -> Catalog | None:
    rows = _rows(path, "::", 3)
    return (
        None if rows is None else _catalog(_item_rows(rows, [r[2].split("|") for r in rows]), path)
    )


def _item_rows(rows: Sequence[Sequence[str]], genres: list[list[str]]) -> pl.DataFrame:
    columns = {Column.ITEM: [r[0] for r in rows], Column.TITLE: [r[1] for r in rows]}
    return pl.DataFrame(
        {**columns, "genres": genres},
        schema={
            Column.ITEM: pl.String,
            Column.TITLE: pl.String,
            "genres": pl.List(pl.String),
        },
    )


def _u_user(path: Path) -> Users | None:
    return _user_rows(path, "|", ("age", "gender", "occupation", "zip_code"))


def _users_dat(path: Path) -> Users | None:
    return _user_rows(path, "::", ("gender", "age", "occupation", "zip_code"))


def _user_rows(path: Path, separator: str, names: Sequence[str]) -> Users | None:
    rows = _rows(path, separator, 5)
    if rows is None:
        return None
    frame = pl.DataFrame(rows, schema=[Column.USER, *names], orient="row")
    # The order of attributes does not depend on the file's.
    return _users(frame, path)


def _rows(path: Path, separator: str, fields: int) -> list[list[str]] | None:
    """The fields of a small file without a header; None where there is no such file."""
    if not lexists(path):
        return None
    check_file(path)
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        # The older sets are in Latin-1.
        text = content.decode("latin-1")
    if not text.strip():
        raise DataError("The file is empty.", path)
    # splitlines() would also split at letters that Latin-1 has no names for.
    rows = [line.removesuffix("\r").split(separator) for line in text.split("\n")]
    problems = [
        f"Line {number} has {len(row)} fields where {fields} are expected."
        for number, row in enumerate(rows, start=1)
        if len(row) != fields and row != [""]
    ]
    if problems:
        raise DataError(problems, path)
    return [row for row in rows if row != [""]]
