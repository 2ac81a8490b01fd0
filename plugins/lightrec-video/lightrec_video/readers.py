"""Readers of GroupLens's MovieLens files, which all give the same columns.

Catalog: item, title (without the year), year, genres (list). Users: age, gender, occupation,
zip_code, as far as the set has them.
"""

from pathlib import Path
from typing import Final

import polars as pl
from lightrec_formats.described import DescribedReader
from lightrec_formats.published import PublishedReader
from lightrec_formats.recbole import RecBoleReader, RecBoleTable

from lightrec.api import (
    Catalog,
    Column,
    InteractionLog,
    Place,
    Problems,
    TextTable,
    Users,
    to_numbers,
)
from lightrec.data.schema import Table

GENRES: Final = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
)  # fmt: skip
"""The genre columns of ``u.item``, in their order."""

_NO_GENRES: Final = ("unknown", "(no genres listed)", "")
_CODES: Final = ("gender", "occupation", "zip_code")
"""Attributes of people that are categories even where all of them are digits."""
_NO_TITLES: Final = ("unknown", "unkonwn")
_LOGS: Final = {
    "u.data": ("u.item", "u.user"),
    "ratings.dat": ("movies.dat", "users.dat"),
    "ratings.csv": ("movies.csv", "users.dat"),
}
"""The files of ratings, each with those of films and of people beside it."""
_RATINGS: Final = (Column.USER, Column.ITEM, Column.VALUE, Column.TIME)
_FORMS: Final = {
    "u.data": ("\t", _RATINGS),
    "ratings.dat": ("::", _RATINGS),
    "u.item": ("|", (Column.ITEM, Column.TITLE, "released", "video", "address", *GENRES)),
    "movies.dat": ("::", (Column.ITEM, Column.TITLE, "genres")),
    "u.user": ("|", (Column.USER, "age", "gender", "occupation", "zip_code")),
    "users.dat": ("::", (Column.USER, "gender", "age", "occupation", "zip_code")),
}
"""Marks that part the fields, and the columns, of the files that do not name these."""
_AGES: Final = 0, 2**31 - 1, "a whole number"
# "Title (1995)", perhaps with a mark for video or television behind the year.
_TITLE_AND_YEAR: Final = r"^(.*?)\s*\((\d{4})(?:[-–]\d{0,4})?\)\s*(?:\((?:V|TV|mini)\)\s*)*$"


class MovieLensReader(PublishedReader):
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
        file = cls.located(path)
        if file.name not in _LOGS or not file.is_file():
            return _is_recbole(path)
        return file.name != "ratings.csv" or file.with_name("movies.csv").is_file()

    @classmethod
    def sample(cls, folder: Path) -> Path:
        """Write a set of two ratings, on which `lightrec plugins check` tries the reader."""
        (folder / "ratings.dat").write_text("1::1193::4.5::978300760\n1::661::3::978302109\n")
        (folder / "movies.dat").write_text("661::Fargo (1996)::Crime|Thriller\n1193::Été::\n")
        (folder / "users.dat").write_text("1::F::1::10::48067\n")
        return folder

    @classmethod
    def located(cls, path: Path) -> Path:
        """The file of ratings, or the path of RecBole's copy."""
        return next((path / name for name in _LOGS if (path / name).is_file()), path)

    def open(self, path: Path) -> Table:
        """Open one of the files."""
        if path.name not in _FORMS:
            return super().open(path)
        mark, names = _FORMS[path.name]
        return TextTable(path, mark, quote=False, names=names)

    def events(self, file: Path) -> InteractionLog:
        """Read the ratings."""
        if file.name in _LOGS:
            return self.log(file)
        return RecBoleReader(times=self.times).read_log(file)

    def items(self, file: Path) -> Catalog | None:
        """Read the films next to the ratings, where they are there."""
        if file.name not in _LOGS:
            catalog = RecBoleReader().read_items(file)
            return catalog and self.films(_as_grouplens(catalog.rows), catalog.place)
        if (films := self.beside(file, _LOGS[file.name][0])) is None:
            return None
        item = "movieId" if films.name == "movies.csv" else Column.ITEM
        columns = GENRES if films.name == "u.item" else ("genres",)
        names = {Column.ITEM: item} | {name: name for name in (Column.TITLE, *columns)}
        rows, place = self.table(films, names)
        genres = pl.col("genres").str.split("|")
        if columns is GENRES:
            flags = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in GENRES]
            genres = pl.concat_list(flags).list.drop_nulls()
        return self.films(rows.with_columns(genres=genres), place)

    def users(self, file: Path) -> Users | None:
        """Read the people next to the ratings, where they are there."""
        if file.name not in _LOGS:
            users = RecBoleReader().read_users(file)
            return users and self.people(users.rows, users.place)
        if (people := self.beside(file, _LOGS[file.name][1])) is None:
            return None
        return self.people(*self.table(people, {name: name for name in _FORMS[people.name][1]}))

    @staticmethod
    def films(rows: pl.DataFrame, place: Place) -> Catalog:
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
        return Catalog(rows, place=place)

    @staticmethod
    def people(rows: pl.DataFrame, place: Place) -> Users:
        """Bring people into the plugin's columns, whose order does not depend on the file's."""
        problems = Problems(place.source)
        rows = rows.select(name for name in (Column.USER, "age", *_CODES) if name in rows.columns)
        if "age" in rows.columns:
            rows = rows.with_columns(to_numbers(rows["age"], pl.Int32(), _AGES, place, problems))
        problems.check()
        return Users(rows, place=place, types=dict.fromkeys(_CODES, "category"))


def _is_recbole(path: Path) -> bool:
    if not RecBoleReader.recognises(path):
        return False
    log = next(path.glob("*.inter")) if path.is_dir() else path.with_suffix(".inter")
    items = log.with_suffix(".item")
    titled = {"movie_title", "release_year", "class"}
    return items.is_file() and titled <= set(RecBoleTable(items).names)


def _as_grouplens(rows: pl.DataFrame) -> pl.DataFrame:
    """Put title and year of RecBole's copy together again, and give genres as lists."""
    year = pl.col("release_year").cast(pl.String).fill_null("")
    title = pl.coalesce(pl.format("{} ({})", Column.TITLE, year), Column.TITLE)
    genres = pl.col("class")
    if not isinstance(rows.schema["class"], pl.List):
        genres = genres.cast(pl.String).str.split(" ")
    return rows.select(Column.ITEM, title.alias(Column.TITLE), genres.alias("genres"))


class WatchingSets(DescribedReader):
    """Published logs of watching; ``sets.yaml`` describes them."""

    name = "video-sets"
    descriptions = Path(__file__).with_name("sets.yaml")
