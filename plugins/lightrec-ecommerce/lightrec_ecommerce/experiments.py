"""Readers of two sets whose exposure was drawn at random: Coat and the Open Bandit Dataset."""

from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import polars as pl
from lightrec_formats.published import PublishedReader
from numpy.typing import NDArray

from lightrec.api import Catalog, Column, DataError, InteractionLog, Place, Users

CONTEXT: Final = "item_context.csv"
FEATURES: Final = "user_item_features"
"""The folder of Coat's descriptions."""


class CoatReader(PublishedReader):
    """Coat's folder (Schnabel et al. 2016): a matrix of ratings, a row a person, a column a coat.

    The folder is the log of what people chose to rate, and the file ``test.ascii`` that of coats
    drawn at random; there are no times. The propensities in the folder are estimates, and are not
    read. Catalog and users: what ``user_item_features`` says, such as jackettype and color.
    """

    name = "coat"
    file = "train.ascii"
    text: ClassVar = {"separator": " ", "quote": False, "header": False}

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is one of the two matrices, or a folder with the first."""
        return super().recognises(path) or (path.name == "test.ascii" and path.is_file())

    def events(self, file: Path) -> InteractionLog:
        """Read the ratings, 1 to 5, where 0 is none."""
        ratings = self.matrix(file, 5)
        users, items = ratings.nonzero()
        ids = {Column.USER: users.astype(str), Column.ITEM: items.astype(str)}
        rows = pl.DataFrame(ids | {Column.VALUE: ratings[users, items]})
        return InteractionLog(rows, place=Place(file))

    def items(self, file: Path) -> Catalog | None:
        """Read what the coats are like, where that is there."""
        rows = self.described(file, Column.ITEM)
        return rows if rows is None else Catalog(rows)

    def users(self, file: Path) -> Users | None:
        """Read who the people are, where that is there."""
        rows = self.described(file, Column.USER)
        return rows if rows is None else Users(rows)

    def described(self, file: Path, kind: str) -> pl.DataFrame | None:
        """Turn a matrix of features and their names, such as ``color:red``, into attributes."""
        matrix = file.parent / FEATURES / f"{kind}_features.ascii"
        named = matrix.with_name(f"{kind}_features_map.txt")
        if not (matrix.is_file() and named.is_file()):
            return None
        lines = named.read_text("utf-8", "replace").splitlines()
        names = [line.partition(":") for line in lines if line]
        rows = self.matrix(matrix, 1)
        if rows.shape[1] != len(names):
            raise DataError(f"It names {len(names)} features of {rows.shape[1]}.", named)
        table = [
            {kind: str(number)} | {names[f][0]: names[f][2] for f in np.flatnonzero(row)}
            for number, row in enumerate(rows)
        ]
        return pl.DataFrame(table, {name: pl.String for name in [kind, *(n[0] for n in names)]})

    def matrix(self, file: Path, largest: int) -> NDArray[np.int64]:
        """Read a matrix of whole numbers from 0 to the largest."""
        names = {name: name for name in self.open(file).names}
        limits = 0, largest, f"a whole number from 0 to {largest}"
        return self.table(file, names, dict.fromkeys(names, limits))[0].to_numpy()


class OpenBanditReader(PublishedReader):
    """A campaign of the Open Bandit Dataset (Saito et al. 2021): its CSV file, or the folder.

    A row is an item shown at a position, by a policy whose propensity is known: the value is 1 for
    a click and 0 for none, and all items of the campaign were candidates. The set names no people;
    each row has a user of its own, whose attributes are the user features. Catalog: item, and the
    item features.
    """

    name = "open-bandit"
    known_by = frozenset({"item_id", "position", "click", "propensity_score"})

    @classmethod
    def located(cls, path: Path) -> Path:
        """The log in a campaign's folder; it is named like the folder."""
        return path / f"{path.name}.csv" if path.is_dir() else path

    def events(self, file: Path) -> InteractionLog:
        """Read what was shown, and whether it was clicked."""
        log, items = self.log(file), self.items(file)
        names = log.events[Column.ITEM] if items is None else items.rows[Column.ITEM]
        offered = pl.lit(names.unique().sort().to_list()).alias(Column.CANDIDATES)
        return InteractionLog(log.events.with_columns(offered), place=log.place)

    def items(self, file: Path) -> Catalog | None:
        """Read the items' features, where they are there."""
        if (context := self.beside(file, CONTEXT)) is None:
            return None
        names = {n: n for n in self.open(context).names if n.startswith("item_feature")}
        rows, place = self.table(context, {Column.ITEM: "item_id"} | names)
        return Catalog(rows, place=place)

    def users(self, file: Path) -> Users:
        """Read the user features of each row."""
        names = {n: n for n in self.open(file).names if n.startswith("user_feature")}
        rows, place = self.table(file, names)
        return Users(rows.insert_column(0, self.log(file).users()), place=place)
