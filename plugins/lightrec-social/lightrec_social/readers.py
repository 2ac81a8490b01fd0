"""Readers of CiaoDVD's ratings with its trust network, and of Last.fm's friendships as a log.

CiaoDVD's catalog: item, genre. Users: user, friends (a list of those whom they trust).
Friendships: who befriended whom; the items are people. Catalog: item, maker (the same person), and
artists (a list, the most played first) where the plays are beside.
"""

from collections.abc import Mapping
from os.path import lexists
from pathlib import Path
from typing import Final

import polars as pl

from lightrec.data.catalog import Catalog, Users
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Reader
from lightrec.data.readers.delimited import TextTable
from lightrec.data.schema import Place, Problems
from lightrec.errors import DataError
from lightrec.keys import Column
from lightrec_social.domain import FRIENDS, MAKER

RATINGS: Final = "movie-ratings.txt"
TRUSTS: Final = "trusts.txt"
FRIENDSHIPS: Final = "user_friends.dat"
PLAYS: Final = "user_artists.dat"
ARTISTS: Final = "artists.dat"
MOST: Final = 5
"""So many artists describe a person."""
GENRES: Final = (
    "Action & Adventure",
    "Comedy",
    "Family",
    "Drama",
    "Horror",
    "Science Fiction & Fantasy",
    "Thriller & Mystery",
    "Martial Arts",
    "Musicals & Music Films",
    "War",
    "Westerns",
    "Documentaries & Biographies",
    "Special Interest",
    "Sports",
    "World Cinema",
    "TV Series",
    "Anime",
)
"""CiaoDVD's genres, of the numbers 1 to 17, as its readme names them."""


class CiaoReader(Reader):
    """CiaoDVD's folder, or its ``movie-ratings.txt``, with ``trusts.txt`` next to it if known.

    A rating is an event with a value from 1 to 5 and a day. Trust goes one way.
    """

    name = "ciao"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether this is the file of ratings, or a folder that holds it."""
        return (_folder(path) / RATINGS).is_file()

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read the ratings.

        :param columns: must be empty, since the format is fixed.
        :raises DataError: with all problems found, up to 20.
        """
        _check_names(columns, path)
        names = (Column.USER, Column.ITEM, Column.VALUE, Column.TIME)
        problems = Problems(_folder(path) / RATINGS)
        frame, place = _ratings(path).read(names, problems)
        if not frame.height:
            problems.check()
        with problems.raising():
            return InteractionLog(frame, times=self.times, place=place)

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog:
        """Read the films of the ratings with their genres.

        :raises DataError: where a genre has no name.
        """
        _check_names(columns, path)
        problems = Problems(_folder(path) / RATINGS)
        frame, place = _ratings(path).read((Column.ITEM, "genre"), problems)
        problems.check()
        numbers = frame["genre"].cast(pl.Int64, strict=False)
        known = numbers.is_between(1, len(GENRES)).fill_null(False)
        expected = f"the number of a genre, 1 to {len(GENRES)}"
        problems.add_rows(~known, lambda row: place.value(frame["genre"], row, expected))
        problems.check()
        words = pl.Series("genre", [GENRES[number - 1] for number in numbers])
        films = frame.with_columns(words).unique(Column.ITEM, keep="first", maintain_order=True)
        return Catalog(films, place=Place(_folder(path) / RATINGS))

    def read_users(self, path: Path, columns: Mapping[str, str] | None = None) -> Users | None:
        """Read whom people trust, where that is there."""
        _check_names(columns, path)
        file = _folder(path) / TRUSTS
        if not lexists(file):
            return None
        table = TextTable(file, ",", quote=False, names=(Column.USER, FRIENDS, "trust"))
        problems = Problems(file)
        pairs, _ = table.read((Column.USER, FRIENDS), problems)
        problems.check()
        lists = pairs.drop_nulls().group_by(Column.USER, maintain_order=True).agg(FRIENDS)
        return Users(lists, place=Place(file))


class FriendsReader(Reader):
    """Last.fm's ``user_friends.dat`` (HetRec 2011) as a log: people are recommended to people.

    The file alone is meant, not its folder, which is a log of plays. People are described by the
    artists that they play most, where ``user_artists.dat`` and ``artists.dat`` are beside.
    """

    name = "friends"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether this is the file of friendships."""
        return path.name == FRIENDSHIPS and path.is_file()

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read who befriended whom, an event each way; there are no times.

        :param columns: must be empty, since the format is fixed.
        :raises DataError: with all problems found, up to 20.
        """
        _check_names(columns, path)
        problems = Problems(path)
        names = {"userID": Column.USER, "friendID": Column.ITEM}
        frame, place = _tabbed(path, names, problems)
        if not frame.height:
            problems.check()
        follows = frame.with_columns(pl.lit("follow").alias(Column.FEEDBACK))
        with problems.raising():
            return InteractionLog(follows, place=place)

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog:
        """Give the people, with the artists that they play most where these are known."""
        people = self.read_log(path, columns).events.select(Column.ITEM).unique(maintain_order=True)
        people = people.with_columns(pl.col(Column.ITEM).alias(MAKER))
        played = _played(path.parent)
        if played is not None:
            people = people.join(played, on=Column.ITEM, how="left", maintain_order="left")
        # Where all ids are digits, they would be read as numbers.
        return Catalog(people, place=Place(path), types={MAKER: "category"})


def _folder(path: Path) -> Path:
    return path.parent if path.name == RATINGS else path


def _check_names(columns: Mapping[str, str] | None, path: Path) -> None:
    if columns:
        raise DataError("The columns of this format are fixed and cannot be named.", path)


def _ratings(path: Path) -> TextTable:
    names = (Column.USER, Column.ITEM, "genre", "review", Column.VALUE, Column.TIME)
    return TextTable(_folder(path) / RATINGS, ",", quote=False, names=names)


def _tabbed(file: Path, names: Mapping[str, str], problems: Problems) -> tuple[pl.DataFrame, Place]:
    """Read some columns of a file with tabs and a header, under names of our own.

    :raises DataError: where the file lacks one.
    """
    table = TextTable(file, "\t", quote=False, header=True)
    lacking = [name for name in names if name not in table.names]
    if lacking:
        raise DataError(
            f"The first line names no column {' and no column '.join(map(repr, lacking))}; it "
            f"names {table.shown()}. Give the file as HetRec 2011 has it.",
            file,
        )
    frame, place = table.read(list(names), problems)
    return frame.rename(dict(names)).select(names.values()), place


def _played(folder: Path) -> pl.DataFrame | None:
    """Read each person's most played artists: ``item`` and ``artists``; None where unknown."""
    if not (lexists(folder / PLAYS) and lexists(folder / ARTISTS)):
        return None
    problems = Problems(folder / PLAYS)
    names = {"userID": Column.ITEM, "artistID": "artist", "weight": "plays"}
    plays, place = _tabbed(folder / PLAYS, names, problems)
    problems.check()
    numbers = plays["plays"].cast(pl.Int64, strict=False)
    problems.add_rows(
        numbers.is_null(), lambda row: place.value(plays["plays"], row, "a whole number")
    )
    problems.check()
    problems = Problems(folder / ARTISTS)
    titles, _ = _tabbed(folder / ARTISTS, {"id": "artist", "name": "artists"}, problems)
    problems.check()
    ordered = plays.with_columns(numbers).join(titles.drop_nulls(), on="artist")
    ordered = ordered.sort("plays", "artists", descending=[True, False], maintain_order=True)
    return ordered.group_by(Column.ITEM, maintain_order=True).agg(pl.col("artists").head(MOST))
