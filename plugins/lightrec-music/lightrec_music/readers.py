"""The reader of Last.fm's plays, tags and friends, as HetRec 2011 gives them.

Catalog: item, title (the artist's name), tags (a list, those given most often first). Users: user,
friends (a list of users).
"""

from collections.abc import Mapping
from dataclasses import replace
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

PLAYS: Final = "user_artists.dat"
ARTISTS: Final = "artists.dat"
TAGS: Final = "tags.dat"
TAGGED: Final = "user_taggedartists.dat"
FRIENDS: Final = "user_friends.dat"
MOST: Final = 8
"""At most so many tags describe an artist."""


class LastfmReader(Reader):
    """The folder of Last.fm's set of HetRec 2011, or its file of plays.

    - ``user_artists.dat``: a row a person and artist, with the number of plays; there are no times
    - ``artists.dat``, with the tags of ``user_taggedartists.dat`` and ``tags.dat``: the items
    - ``user_friends.dat``: the users' attribute ``friends``

    All but the first are optional.
    """

    name = "lastfm"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether this is the file of plays, or a folder that holds it."""
        return (_folder(path) / PLAYS).is_file()

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read the plays, an event a person and artist with its count.

        :param columns: must be empty, since the format is fixed.
        :raises DataError: with all problems found, up to 20.
        """
        _check_names(columns, path)
        file = _folder(path) / PLAYS
        problems = Problems(file)
        names = {"userID": Column.USER, "artistID": Column.ITEM, "weight": Column.COUNT}
        frame, place = _read(file, names, problems)
        if not frame.height:
            problems.check()
        with problems.raising():
            return InteractionLog(frame, place=place)

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read the artists next to the plays, where they are there."""
        _check_names(columns, path)
        file = _folder(path) / ARTISTS
        if not lexists(file):
            return None
        problems = Problems(file)
        rows, place = _read(file, {"id": Column.ITEM, "name": Column.TITLE}, problems)
        problems.check()
        tags = _tags(_folder(path))
        if tags is not None:
            rows = rows.join(tags, on=Column.ITEM, how="left", maintain_order="left")
        return Catalog(rows, place=place)

    def read_users(self, path: Path, columns: Mapping[str, str] | None = None) -> Users | None:
        """Read who is whose friend next to the plays, where that is there."""
        _check_names(columns, path)
        file = _folder(path) / FRIENDS
        if not lexists(file):
            return None
        problems = Problems(file)
        pairs, _ = _read(file, {"userID": Column.USER, "friendID": "friends"}, problems)
        problems.check()
        lists = pairs.drop_nulls().group_by(Column.USER, maintain_order=True).agg("friends")
        return Users(lists, place=Place(file))


def _folder(path: Path) -> Path:
    return path.parent if path.name == PLAYS else path


def _check_names(columns: Mapping[str, str] | None, path: Path) -> None:
    if columns:
        raise DataError("The columns of Last.fm's files are fixed and cannot be named.", path)


def _read(file: Path, names: Mapping[str, str], problems: Problems) -> tuple[pl.DataFrame, Place]:
    """Read some columns of a file under names of our own.

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
    own = {ours: theirs for theirs, ours in names.items()}
    return frame.rename(dict(names)).select(*own), replace(place, names=own)


def _tags(folder: Path) -> pl.DataFrame | None:
    """Read each artist's tags, those given most often first and equal ones by their letters.

    :returns: ``item`` and ``tags``; None where there are no files of tags.
    """
    if not (lexists(folder / TAGGED) and lexists(folder / TAGS)):
        return None
    problems = Problems(folder / TAGGED)
    given, _ = _read(folder / TAGGED, {"artistID": Column.ITEM, "tagID": "tag"}, problems)
    problems.check()
    problems = Problems(folder / TAGS)
    words, _ = _read(folder / TAGS, {"tagID": "tag", "tagValue": "tags"}, problems)
    problems.check()
    counts = given.join(words, on="tag").group_by(Column.ITEM, "tags").len()
    ordered = counts.sort(Column.ITEM, "len", "tags", descending=[False, True, False])
    return ordered.group_by(Column.ITEM, maintain_order=True).agg(pl.col("tags").head(MOST))
