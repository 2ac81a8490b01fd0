"""Names and requests as people write them: which items a title, an id or a request means.

Case, accents, punctuation, years and articles (English, German, French, Spanish and Italian ones,
in front or behind) do not count where what is left names one item, such as ``rock, the (1996)``.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property, reduce
from operator import or_
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from lightrec.data import filters
from lightrec.data.filters import Filter
from lightrec.data.store import EventStore
from lightrec.data.types import Kind
from lightrec.errors import RecipeError, say
from lightrec.keys import Column

_ARTICLES: Final = (
    "the|a|an|der|die|das|den|dem|des|ein|eine|le|la|les|l|un|une|el|los|las|una|il|lo|gli"
)
_YEAR: Final = r"\s*\((\d{4})(?:[-–]\d{0,4})?\)\s*$"
_TRAILING_YEAR: Final = r"^(.*\S)\s+(\d{4})$"
_BEHIND: Final = rf"(?i)^(.+?),\s+({_ARTICLES})'?((?:\s*\(.*\))?)$"
_IN_FRONT: Final = rf"^(?:{_ARTICLES}) (.+)$"
_NUMERAL: Final = r"\b(\d+|[ivx]+)\b"
_SHOWN: Final = 5
_Reading: TypeAlias = dict[str, Any]


class Names:
    """The items of a log by their names.

    :param items: a catalog: ``item``, ``title`` (which may be null) and perhaps ``year``.
    :param popularity: (N,) by which equally likely items are ordered.
    :param left_out: says what else has a name, where the items are not all that there are.
    """

    def __init__(
        self, items: pl.DataFrame, popularity: npt.ArrayLike | None = None, left_out: str = ""
    ) -> None:
        self.left_out = left_out
        self.ids = items[Column.ITEM]
        self.titles = items[Column.TITLE].fill_null(self.ids)
        zeros = np.zeros(len(items))
        self.popularity = zeros if popularity is None else np.asarray(popularity, float)
        years = items["year"] if "year" in items.columns else pl.Series([None] * len(items))
        self._printed: set[str] = set()
        self._years = years.cast(pl.Int64, strict=False)

    @classmethod
    def of(cls, store: EventStore) -> "Names":
        """The names of a prepared log's items."""
        rare = ""
        if store.meta["counts"].get("dropped_k_core"):
            least = store.meta["settings"]["k_core"]
            rare = f" Items with fewer than {least} events (k_core) are not in the run."
        return cls(store.catalog, store.popularity()[1:], rare)

    def exactly(self, names: Sequence[str]) -> dict[str, list[int]]:
        """The rows that have a name as their id, or else as their title, whatever its case."""
        rows_of: dict[str, list[int]] = {}
        lower = [name.lower() for name in names]
        for column, written in ((self._lower, lower), (self.titles, names), (self.ids, names)):
            rows = column.is_in(pl.Series(written, dtype=pl.String).implode()).arg_true()
            table = pl.DataFrame({"name": column.gather(rows), "row": rows}).group_by("name")
            each = dict(table.agg("row").iter_rows())
            rows_of |= {
                name: each[key] for name, key in zip(names, written, strict=True) if key in each
            }
        return rows_of

    def number(self, name: str) -> int:
        """The number of the item that is meant, see :meth:`find_all`: its row, counted from 1."""
        return self.find_all([name])[0] + 1

    def find_all(self, names: Sequence[str], most: int | None = None) -> list[int]:
        """The rows of the items that are meant, 0 to N - 1; many take little longer than one.

        What is taken for a misspelt name or a beginning is said on the error output, once, as is an
        id that is another item's title, too.

        :param most: names at most that are no id or title as it stands; None for any number.
        :raises RecipeError: where none is, or several may be, with the most likely first.
        """
        if not names:
            return []
        distinct = [*dict.fromkeys(map(str, names))]
        exact = self.exactly(distinct)
        other = [name for name in distinct if name not in exact]
        if most is not None and len(other) > most:
            raise RecipeError(
                f"{len(other)} names are no item's id or title as it stands, such as "
                f"{other[0]!r:.60}; at most {most} at a time are searched for by their spelling."
            )
        parts = pl.Series(other, dtype=pl.String).str.extract_groups(_TRAILING_YEAR).struct
        year = parts.field("2").cast(pl.Int64).alias("year")
        dated = _plain(parts.field("1")).with_columns(year).to_dicts()
        plain = _plain(pl.Series(other, dtype=pl.String)).to_dicts()
        # A year at the end may be part of the title.
        readings = {
            name: [one] if two["whole"] is None else [one, two]
            for name, one, two in zip(other, plain, dated, strict=True)
        }
        row_of = {n: self._row_of(n, exact.get(n, []), readings.get(n, [])) for n in distinct}
        return [row_of[str(name)] for name in names]

    def _row_of(self, name: str, rows: list[int], readings: Sequence[_Reading]) -> int:
        if rows := rows or self._same_title(readings):
            item = self._only(name, rows)
            others = (self._lower == name.lower()).arg_true().to_list()
            if self.ids[item] == name and (others := [row for row in others if row != item]):
                more = "; ".join(map(self.shown, others[:_SHOWN]))
                self._print_once(
                    f"{name!r} is taken as the id of {self.shown(item, False)}. It is also the "
                    f"title of {more}: give that id where it is meant."
                )
            return item
        row = self._beginning(name, readings[0])
        row = self._misspelt(readings[-1]) if row is None else row
        if row is None:
            near = self._likeliest(readings[-1]["whole"])
            hint = f" Did you mean {'; '.join(map(self.shown, near))}?" if near else ""
            raise RecipeError(f"There is no item {name!r}.{hint}{self.left_out}")
        self._print_once(f"{name!r} is taken as {self.shown(row, False)}.")
        return row

    def _print_once(self, sentence: str) -> None:
        """Say something once, and not for each of a service's thousand requests."""
        if sentence not in self._printed:
            self._printed.add(sentence)
            say(sentence)

    def shown(self, row: int, with_id: bool = True) -> str:
        """Write an item as ``Toy Story (1995), id 1``."""
        title, year = self.titles[row], self._years[row]
        title += f" ({year})" if year is not None and f"({year})" not in title else ""
        return f"{title}, id {self.ids[row]}" if with_id and title != self.ids[row] else title

    @cached_property
    def _lower(self) -> pl.Series:
        return self.titles.str.to_lowercase()

    @cached_property
    def _keys(self) -> pl.DataFrame:
        """The titles without what does not count; see :func:`_plain`."""
        keys = _plain(self.titles)
        return keys.with_columns(pl.coalesce(pl.col("year"), self._years).alias("year"))

    @cached_property
    def _parts(self) -> dict[str, list[Any]]:
        """The same as lists, which a search for a misspelt name reads without a copy."""
        return self._keys.to_dict(as_series=False)

    def _same_title(self, readings: Sequence[_Reading]) -> list[int]:
        """The rows whose titles differ in nothing that counts."""
        for key in ("whole", "bare", "outer", "inner"):
            for row in readings:
                match = self._keys[key] == row["whole" if key == "whole" else "bare"]
                if row["year"] is not None:
                    match &= self._keys["year"].eq_missing(row["year"])
                if rows := match.arg_true().to_list():
                    return rows
        return []

    def _only(self, name: str, rows: list[int]) -> int:
        if len(rows) == 1:
            return rows[0]
        rows.sort(key=lambda row: -self.popularity[row])
        some = "; ".join(map(self.shown, rows[:_SHOWN]))
        more = f"; and {len(rows) - _SHOWN} others" if len(rows) > _SHOWN else ""
        raise RecipeError(
            f"{name!r} fits several items: {some}{more}. Give the id of one, or its whole title."
        )

    def _beginning(self, name: str, reading: _Reading) -> int | None:
        if reading["year"] is None:
            for key in (f"{reading[column]} " for column in ("whole", "bare")):
                match = self._keys["whole"].str.starts_with(key)
                match |= self._keys["bare"].str.starts_with(key)
                if rows := match.arg_true().to_list():
                    return self._only(name, rows)
        return None

    def _misspelt(self, reading: _Reading) -> int | None:
        """The only row within one mistake per five letters whose numerals are the same."""
        from rapidfuzz import process
        from rapidfuzz.distance import OSA

        for column in ("whole", "bare"):
            key, keys = reading[column], self._parts[column]
            most = max(len(key) // 5, 1) if len(key) >= 4 else 0
            near = process.extract(key, keys, scorer=OSA.distance, limit=2, score_cutoff=most)
            if near and (len(near) == 1 or near[0][1] < near[1][1]):
                row: int = near[0][2]
                one, other = (re.findall(_NUMERAL, text) for text in (key, keys[row]))
                if one == other and reading["year"] in (None, self._parts["year"][row]):
                    return row
        return None

    def _likeliest(self, key: str) -> list[int]:
        from rapidfuzz import fuzz, process

        keys = dict(enumerate(self._parts["whole"]))
        # A short title within a long name, such as SO in "microsoft", is chance.
        longer = {row: title for row, title in keys.items() if len(title) >= len(key)}
        scores: dict[int, float] = {}
        for scorer, titles in ((fuzz.partial_ratio, longer), (fuzz.token_set_ratio, keys)):
            for _, score, row in process.extract(
                key, titles, scorer=scorer, limit=50, score_cutoff=60
            ):
                scores[row] = max(score, scores.get(row, 0))
        ranked = sorted(scores, key=lambda row: (-round(scores[row]), -self.popularity[row]))
        return [row for row in ranked[:_SHOWN] if scores[row] > scores[ranked[0]] - 10]


def _plain(titles: pl.Series) -> pl.DataFrame:
    """Take from titles what does not count.

    :returns: ``whole``: with its article in front; ``bare``: without it; ``outer`` and ``inner``:
        bare, outside and inside parentheses, null where there are none; ``year``: in parentheses.
    """
    base = titles.str.replace(_YEAR, "")
    parts = base.str.extract_groups(r"^(.+?)\s*\((.+)\)$").struct
    whole = _letters(base)
    return pl.DataFrame(
        {
            "whole": whole,
            "bare": whole.str.replace(_IN_FRONT, "${1}"),
            "outer": _letters(parts.field("1")).str.replace(_IN_FRONT, "${1}"),
            "inner": _letters(parts.field("2")).str.replace(_IN_FRONT, "${1}"),
            "year": titles.str.extract(_YEAR).cast(pl.Int64),
        }
    )


def _letters(text: pl.Series) -> pl.Series:
    """Bring a trailing article to the front, and leave lower-case letters and digits."""
    moved = text.str.replace(_BEHIND, "${2} ${1}${3}").str.normalize("NFKD")
    lower = moved.str.replace_all(r"\p{M}", "").str.to_lowercase().str.replace_all("ß", "ss")
    lower = lower.str.replace_all("&", " and ", literal=True)
    lower = lower.str.replace_all(r"\bl['’]", "l ").str.replace_all("['’`´]", "")
    plain = lower.str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars()
    return plain.zip_with((plain != "").fill_null(True), text)


class Selection(NamedTuple):
    """Conditions that are read, and can be asked of any table with the same columns."""

    only: list[Filter]
    """One of these must hold, where there are any."""
    without: list[Filter]
    """None of these may hold."""

    @classmethod
    def parse(
        cls,
        exclude: str | Sequence[str],
        only: str | Sequence[str],
        catalog: pl.DataFrame,
        kinds: Mapping[str, Kind],
        names: Names,
    ) -> "Selection":
        """Read titles, item ids and conditions; see :mod:`lightrec.data.filters`.

        :param kinds: of the catalog's attributes.
        :param names: of the catalog's items.
        :raises RecipeError: where a title, an attribute or its value is not known.
        """
        wishes = *several(only), *several(exclude)
        exact = names.exactly(wishes)
        titles = [w for w in wishes if w in exact or not filters.looks_like_one(w)]
        rows = dict(zip(titles, names.find_all(titles), strict=True))

        def read(wish: str) -> Filter:
            # A title or id counts as a condition on the id.
            if wish not in rows:
                return filters.parse(wish, catalog, kinds)
            return Filter(wish, pl.col(Column.ITEM) == names.ids[rows[wish]])

        return cls(list(map(read, several(only))), list(map(read, several(exclude))))

    def mask(self, catalog: pl.DataFrame) -> tuple[pl.Series, str]:
        """Which items of a table are left, and how many each condition leaves.

        :returns: (N,) bool, and the begin of a sentence, empty where there is no condition.
        """
        left = pl.repeat(True, catalog.height, eager=True)
        account: list[str] = []

        def leave(said: str, mask: pl.Series) -> pl.Series:
            rest = left & mask
            kept = f"{rest.sum():,} item{'s' * (rest.sum() != 1)}"
            account.append(f"{said} leaves {f'{rest.sum():,} of them' if account else kept}")
            return rest

        if len(self.only) == 1:
            for part in self.only[0].parts or self.only:
                left = leave(part.text, part.mask(catalog))
        elif self.only:
            masks = [wish.mask(catalog) for wish in self.only]
            left = leave(" or ".join(wish.text for wish in self.only), reduce(or_, masks))
        for wish in self.without:
            left = leave(f"without {wish.text}", ~wish.mask(catalog))
        return left, ", ".join(account)


def several(texts: str | Sequence[str]) -> Sequence[str]:
    """Take one text for a list of one, and not for its letters."""
    return [texts] if isinstance(texts, str) else texts
