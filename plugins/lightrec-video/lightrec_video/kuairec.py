"""The reader of KuaiRec's files (Gao et al. 2022), of which one holds nearly all answers."""

from pathlib import Path

import polars as pl
from lightrec_formats.published import PublishedReader

from lightrec.api import Catalog, Column, InteractionLog

LOG, ANSWERS, TAGS = "big_matrix.csv", "small_matrix.csv", "item_categories.csv"


class KuaiRecReader(PublishedReader):
    """KuaiRec as its authors give it: the folder ``data``, or one of its two matrices.

    A folder is read as its log, ``big_matrix.csv``. ``small_matrix.csv`` has what 1,411 people did
    with nearly each of 3,327 videos, without times, which it lacks for a part: give the file to
    ``AnsweredWorld``, whose ``likes: 2`` is its authors' rule. An event's value is how much of the
    video was watched, above 1 where more than once. Catalog: item, tags (numbers).
    """

    name = "kuairec"
    known_by = frozenset({"user_id", "video_id", "watch_ratio"})

    @classmethod
    def located(cls, path: Path) -> Path:
        """The matrix of a folder's log, or the one that is named."""
        return path / LOG if path.is_dir() else path

    def events(self, file: Path) -> InteractionLog:
        """Read what was watched."""
        columns = {
            Column.USER: "user_id",
            Column.ITEM: "video_id",
            Column.VALUE: "watch_ratio",
            Column.TIME: "timestamp",
        }
        if file.name == ANSWERS:
            del columns[Column.TIME]
        rows, place = self.table(file, columns)
        return InteractionLog(rows, times="seconds", place=place)

    def items(self, file: Path) -> Catalog | None:
        """Read the tags of the videos, such as ``[27, 9]``, where they are beside the log."""
        if (tags := self.beside(file, TAGS)) is None:
            return None
        rows, place = self.table(tags, {Column.ITEM: "video_id", "tags": "feat"})
        listed = pl.col("tags").str.strip_chars("[] ").str.split(", ")
        return Catalog(rows.with_columns(listed), place=place)
