"""The reader of Last.fm's plays, tags and friends, as HetRec 2011 gives them.

Catalog: item, title (the artist's name), tags (a list, those given most often first). Users: user,
friends (a list of users).
"""

from pathlib import Path
from typing import ClassVar, Final

import polars as pl
from lightrec_formats.described import DescribedReader
from lightrec_formats.published import PublishedReader

from lightrec.api import Catalog, Column, InteractionLog, Place, Users

MOST: Final = 8
"""Number of tags that describe an artist at most."""


class LastfmReader(PublishedReader):
    """The folder of Last.fm's set of HetRec 2011, or its file of plays.

    - ``user_artists.dat``: a row a person and artist, with the number of plays; there are no times
    - ``artists.dat``, with the tags of ``user_taggedartists.dat`` and ``tags.dat``: the items
    - ``user_friends.dat``: the users' attribute ``friends``

    All but the first are optional.
    """

    name = "lastfm"
    file = "user_artists.dat"
    text: ClassVar = {"separator": "\t", "quote": False, "header": True}

    def events(self, file: Path) -> InteractionLog:
        """Read the plays, an event a person and artist with its count."""
        names = {Column.USER: "userID", Column.ITEM: "artistID", Column.COUNT: "weight"}
        return self.log(file, names)

    def items(self, file: Path) -> Catalog | None:
        """Read the artists next to the plays, with their tags where these are there."""
        if (artists := self.beside(file, "artists.dat")) is None:
            return None
        rows, place = self.table(artists, {Column.ITEM: "id", Column.TITLE: "name"})
        tagged, words = self.beside(file, "user_taggedartists.dat"), self.beside(file, "tags.dat")
        if tagged and words:
            tags = self.most_given(tagged, words)
            rows = rows.join(tags, on=Column.ITEM, how="left", maintain_order="left")
        return Catalog(rows, place=place)

    def users(self, file: Path) -> Users | None:
        """Read who is whose friend next to the plays, where that is there."""
        if (friends := self.beside(file, "user_friends.dat")) is None:
            return None
        pairs, _ = self.table(friends, {Column.USER: "userID", "friends": "friendID"})
        lists = pairs.drop_nulls().group_by(Column.USER, maintain_order=True).agg("friends")
        return Users(lists, place=Place(friends))

    def most_given(self, tagged: Path, words: Path) -> pl.DataFrame:
        """Read each artist's tags, those given most often first and equal ones by their letters.

        :returns: ``item`` and ``tags``.
        """
        pairs, _ = self.table(tagged, {Column.ITEM: "artistID", "tag": "tagID"})
        names, _ = self.table(words, {"tag": "tagID", "tags": "tagValue"})
        counts = pairs.join(names, on="tag").group_by(Column.ITEM, "tags").len()
        ordered = counts.sort(Column.ITEM, "len", "tags", descending=[False, True, False])
        return ordered.group_by(Column.ITEM, maintain_order=True).agg(pl.col("tags").head(MOST))


class ListeningSets(DescribedReader):
    """Published logs of listening; ``sets.yaml`` describes them."""

    name = "music-sets"
    descriptions = Path(__file__).with_name("sets.yaml")
