"""Readers of CiaoDVD's ratings with its trust network, and of Last.fm's friendships as a log.

CiaoDVD's catalog: item, genre. Users: user, friends (a list of those whom they trust).
Friendships: who befriended whom; the items are people. Catalog: item, maker (the same person), and
artists (a list, the most played first) where the plays are beside.
"""

from pathlib import Path
from typing import ClassVar, Final

import polars as pl
from lightrec_formats.published import PublishedReader

from lightrec.api import Catalog, Column, InteractionLog, Place, Users
from lightrec_social.domain import FRIENDS, MAKER

MOST: Final = 5
"""Number of artists that describe a person at most."""
GENRES: Final = (
    "Action & Adventure", "Comedy", "Family", "Drama", "Horror", "Science Fiction & Fantasy",
    "Thriller & Mystery", "Martial Arts", "Musicals & Music Films", "War", "Westerns",
    "Documentaries & Biographies", "Special Interest", "Sports", "World Cinema", "TV Series",
    "Anime",
)  # fmt: skip
"""CiaoDVD's genres, of the numbers 1 to 17, as its readme names them."""


class CiaoReader(PublishedReader):
    """CiaoDVD's folder, or its ``movie-ratings.txt``, with ``trusts.txt`` next to it if known.

    A rating is an event with a value from 1 to 5 and a day. Trust goes one way.
    """

    name = "ciao"
    file = "movie-ratings.txt"

    def events(self, file: Path) -> InteractionLog:
        """Read the ratings, whose columns have no names."""
        names = {Column.USER: "1", Column.ITEM: "2", Column.VALUE: "5", Column.TIME: "6"}
        return self.log(file, names)

    def items(self, file: Path) -> Catalog:
        """Read the films of the ratings with their genres.

        :raises DataError: where a genre has no name.
        """
        numbers = {"genre": (1, len(GENRES), f"the number of a genre, 1 to {len(GENRES)}")}
        frame, _ = self.table(file, {Column.ITEM: "2", "genre": "3"}, numbers)
        films = frame.unique(Column.ITEM, keep="first", maintain_order=True)
        words = pl.lit(pl.Series(GENRES)).gather(pl.col("genre") - 1)
        return Catalog(films.with_columns(genre=words), place=Place(file))

    def users(self, file: Path) -> Users | None:
        """Read whom people trust, where that is there."""
        if (trusts := self.beside(file, "trusts.txt")) is None:
            return None
        pairs, _ = self.table(trusts, {Column.USER: "1", FRIENDS: "2"})
        lists = pairs.drop_nulls().group_by(Column.USER, maintain_order=True).agg(FRIENDS)
        return Users(lists, place=Place(trusts))


class FriendsReader(PublishedReader):
    """Last.fm's ``user_friends.dat`` (HetRec 2011) as a log: people are recommended to people.

    The file alone is meant, not its folder, which is a log of plays. People are described by the
    artists that they play most, where ``user_artists.dat`` and ``artists.dat`` are beside.
    """

    name = "friends"
    file = "user_friends.dat"
    text: ClassVar = {"separator": "\t", "quote": False, "header": True}

    @classmethod
    def located(cls, path: Path) -> Path:
        """The path itself."""
        return path

    def events(self, file: Path) -> InteractionLog:
        """Read who befriended whom, an event each way; there are no times."""
        log = self.log(file, {Column.USER: "userID", Column.ITEM: "friendID"})
        follows = log.events.with_columns(pl.lit("follow").alias(Column.FEEDBACK))
        return InteractionLog(follows, place=log.place)

    def items(self, file: Path) -> Catalog:
        """The people, with the artists that they play most where these are known."""
        people = self.events(file).events.select(Column.ITEM).unique(maintain_order=True)
        people = people.cast(pl.String).with_columns(pl.col(Column.ITEM).alias(MAKER))
        plays, artists = self.beside(file, "user_artists.dat"), self.beside(file, "artists.dat")
        if plays and artists:
            names = {Column.ITEM: "userID", "artist": "artistID", "plays": "weight"}
            frame, _ = self.table(plays, names, {"plays": (0, 2**63 - 1, "a whole number")})
            titles, _ = self.table(artists, {"artist": "id", "artists": "name"})
            each = frame.join(titles.drop_nulls(), on="artist")
            each = each.sort("plays", "artists", descending=[True, False], maintain_order=True)
            groups = each.group_by(Column.ITEM, maintain_order=True)
            played = groups.agg(pl.col("artists").head(MOST))
            people = people.join(played, on=Column.ITEM, how="left", maintain_order="left")
        # Where all ids are digits, they would be read as numbers.
        return Catalog(people, place=Place(file), types={MAKER: "category"})
