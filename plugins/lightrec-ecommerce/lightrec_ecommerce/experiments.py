"""Readers of two sets whose exposure was drawn at random: Coat and the Open Bandit Dataset."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from lightrec.data.catalog import Catalog, Users
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Reader, Tables
from lightrec.data.readers.table import TableReader
from lightrec.data.readers.text import open_text
from lightrec.data.schema import Place, Problems
from lightrec.errors import DataError
from lightrec.keys import Column
from lightrec_ecommerce.readers import fixed, head

BANDIT: Final = {"timestamp", "item_id", "position", "click", "propensity_score"}
CONTEXT: Final = "item_context.csv"
FEATURES: Final = "user_item_features"
"""The folder of Coat's descriptions."""
RATED: Final = ("train.ascii", "test.ascii")


class CoatReader(Reader):
    """Coat's folder (Schnabel et al. 2016): a matrix of ratings, a row a person, a column a coat.

    The folder is the log of what people chose to rate, and the file ``test.ascii`` that of coats
    drawn at random; there are no times. The propensities in the folder are estimates, and are not
    read. Catalog and users: what ``user_item_features`` says, such as jackettype and color.
    """

    name = "coat"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is one of the two matrices, or a folder with the first."""
        file = _ratings(path)
        return file.name in RATED and file.is_file()

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read the ratings, 1 to 5, where 0 is none.

        :param columns: must be empty, since the format is fixed.
        :raises DataError: where a row is longer than another, or a number is no rating.
        """
        fixed(columns, path)
        matrix = _matrix(_ratings(path), range(6))
        rows = [(str(u), str(i), r) for u, row in enumerate(matrix) for i, r in enumerate(row) if r]
        names = (Column.USER, Column.ITEM, Column.VALUE)
        return InteractionLog(pl.DataFrame(rows, names, orient="row"), place=Place(path))

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read what the coats are like, where that is there."""
        rows = _described(_ratings(path).parent / FEATURES, Column.ITEM)
        return rows if rows is None else Catalog(rows)

    def read_users(self, path: Path, columns: Mapping[str, str] | None = None) -> Users | None:
        """Read who the people are, where that is there."""
        rows = _described(_ratings(path).parent / FEATURES, Column.USER)
        return rows if rows is None else Users(rows)


class OpenBanditReader(TableReader):
    """A campaign of the Open Bandit Dataset (Saito et al. 2021): its CSV file, or the folder.

    A row is an item shown at a position, by a policy whose propensity is known: the value is 1 for
    a click and 0 for none, and all items of the campaign were candidates. The set names no people;
    each row has a user of its own, whose attributes are the user features. Catalog: item, and the
    item features.
    """

    name = "open-bandit"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is the log of a campaign, or a folder with it."""
        return head(_campaign(path)) >= BANDIT

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read what was shown, and whether it was clicked.

        :param columns: must be empty, since the columns are fixed.
        :raises DataError: with all problems found, up to 20.
        """
        fixed(columns, path)
        file = _campaign(path)
        log = super().read_log(file)
        context = file.parent / CONTEXT
        items = _column(context, "item_id") if context.is_file() else log.events[Column.ITEM]
        offered = pl.lit(items.unique().sort().to_list()).alias(Column.CANDIDATES)
        return InteractionLog(log.events.with_columns(offered), place=log.place)

    def read(self, path: Path, columns: Mapping[str, str] | None = None) -> Tables:
        """Read the log with both tables."""
        log = self.read_log(path, columns)
        return Tables(log, self.read_items(path), self.read_users(path))

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read the items' features, where they are there."""
        file = _campaign(path).parent / CONTEXT
        if not file.is_file():
            return None
        table, problems = self.open(file), Problems(file)
        wanted = [name for name in table.names if name.startswith("item_")]
        rows, place = table.read(wanted, problems)
        problems.check()
        return Catalog(rows.rename({"item_id": Column.ITEM}), place=place)

    def read_users(self, path: Path, columns: Mapping[str, str] | None = None) -> Users:
        """Read the user features of each row."""
        file, problems = _campaign(path), Problems(path)
        table = self.open(file)
        names = [name for name in table.names if name.startswith("user_feature")]
        rows, place = table.read(names, problems)
        users = self.read_log(file).users()
        return Users(rows.insert_column(0, users), place=place)


def _column(path: Path, name: str) -> pl.Series:
    problems = Problems(path)
    frame, _ = TableReader().open(path).read([name], problems)
    problems.check()
    return frame[name]


def _campaign(path: Path) -> Path:
    """Find the log in a campaign's folder; it is named like the folder."""
    return path / f"{path.name}.csv" if path.is_dir() else path


def _ratings(path: Path) -> Path:
    return path / RATED[0] if path.is_dir() else path


def _matrix(file: Path, values: range) -> list[list[int]]:
    """Read a matrix of whole numbers, parted by blanks.

    :raises DataError: where rows differ in length, or a number is out of range.
    """
    lines = bytes(open_text(file)[0]).decode("utf-8", "replace").splitlines()
    allowed, problems, rows = {str(value): value for value in values}, Problems(file), []
    for number, line in enumerate(lines, 1):
        fields = line.split()
        rows.append([allowed.get(field, 0) for field in fields])
        if wrong := [field for field in fields if field not in allowed]:
            expected = f"{values.start} to {values.stop - 1}"
            problems.add(f"Line {number}: '{wrong[0]}' is no whole number from {expected}.")
        elif len(fields) != len(rows[0]):
            problems.add(f"Line {number} has {len(fields)} numbers, and line 1 {len(rows[0])}.")
    problems.check()
    return rows


def _described(folder: Path, kind: str) -> pl.DataFrame | None:
    """Turn a matrix of features and their names, such as ``color:red``, into attributes."""
    matrix, named = folder / f"{kind}_features.ascii", folder / f"{kind}_features_map.txt"
    if not (matrix.is_file() and named.is_file()):
        return None
    lines = named.read_text("utf-8", "replace").splitlines()
    features = [line.partition(":") for line in lines if line]
    rows = _matrix(matrix, range(2))
    if rows and len(rows[0]) != len(features):
        raise DataError(f"It names {len(features)} features of {len(rows[0])}.", named)
    table = [
        {kind: str(n)} | {f[0]: f[2] for f, there in zip(features, row, strict=True) if there}
        for n, row in enumerate(rows)
    ]
    return pl.DataFrame(table, {name: pl.String for name in [kind, *(f[0] for f in features)]})
