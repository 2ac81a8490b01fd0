"""Readers of published networks, and of Last.fm's friendships as a log.

Friendships: who befriended whom; the items are people. Catalog: item, maker (the same person), and
artists (a list, the most played first) where the plays are beside.
"""

from pathlib import Path
from typing import ClassVar, Final

import polars as pl
from lightrec_formats.described import DescribedReader
from lightrec_formats.published import PublishedReader

from lightrec.api import Catalog, Column, InteractionLog, Place
from lightrec_social.domain import MAKER

MOST: Final = 5
"""Number of artists that describe a person at most."""


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


class NetworkSets(DescribedReader):
    """Published logs of networks, as ``sets.yaml`` describes them: Epinions, Douban, Yelp,
    Gowalla, Pokec, CiaoDVD.
    """

    name = "social-sets"
    descriptions = Path(__file__).with_name("sets.yaml")
