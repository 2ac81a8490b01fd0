"""A shop's standing rules, which every list of a run keeps to, whatever ranks it.

They stand in ``rules.yaml`` in the run's folder, beside its versions, and are read again whenever
that file, or the table that it names, has changed::

    table: stock.csv                # of items; its columns go before the item table's
    in_stock: stock>0               # no other items come
    only:
    - {where: veggie=yes, people: diet=vegetarian}
    boosts:
    - {where: brand=Acme, times: 1.5}
    pins:
    - {item: Gift card, place: 1, people: country=DE}
    at_most:
    - {per: category, places: 2}
    tie_break: {by: margin, within: 0.05}

A list is filled from its first place to its last. A place has the item that is pinned to it, if
that may be shown; else the best of what is left or, where there is a tie-break, of what is nearly
as good. A boost multiplies an item's weight in the law of Plackett and Luce, from which lists are
drawn, and so adds to its score the logarithm.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import polars as pl
import torch
import yaml
from torch import Tensor

from lightrec import plugins
from lightrec.data.files import STAMP
from lightrec.data.filters import Filter, parse
from lightrec.data.types import Kind, parted
from lightrec.errors import DataError, LightrecError, RecipeError, no_such
from lightrec.keys import PADDING, Column
from lightrec.ranking.lists import diversified

if TYPE_CHECKING:
    from lightrec.data.catalog import Catalog

FILE: Final = "rules.yaml"


class Boost(NamedTuple):
    """Items whose weight is multiplied: those that meet a condition."""

    where: str
    times: float


class Only(NamedTuple):
    """A condition without which no item comes, for the people of another condition."""

    where: str
    people: str = ""


class Pin(NamedTuple):
    """An item, by its id or title, with a place of its own, for the people of a condition."""

    item: str | int
    place: int
    people: str = ""


class Limit(NamedTuple):
    """The number of places that items have together that share a value of an attribute."""

    per: str
    places: int


class TieBreak(NamedTuple):
    """A number that decides between items whose weights differ by no larger share than this."""

    by: str
    within: float = 0.05


@dataclass(frozen=True)
class Rules:
    """The content of the file, as this module's docstring shows it.

    :raises RecipeError: where a number is out of its range.
    """

    table: str = ""
    item_column: str = ""
    in_stock: str = ""
    only: tuple[Only, ...] = ()
    boosts: tuple[Boost, ...] = ()
    pins: tuple[Pin, ...] = ()
    at_most: tuple[Limit, ...] = ()
    tie_break: TieBreak | None = None

    def __post_init__(self) -> None:
        if wrong := [each.times for each in self.boosts if not 0 < each.times < math.inf]:
            raise RecipeError(f"A boost multiplies by a number above 0, not {wrong[0]:g}.")
        least = min([1, *(each.place for each in self.pins), *(x.places for x in self.at_most)])
        if least < 1:
            raise RecipeError(f"Places count from 1, and {least} is none.")
        if self.tie_break is not None and not 0 <= (within := self.tie_break.within) < 1:
            raise RecipeError(f"A tie-break is within a share, 0 up to below 1, not {within:g}.")


class Standing:
    """Rules as they are for a catalog.

    :param mark: names the rules and the content of their table, for logs.
    :param table: whose columns go before those of the items; None where the rules name none.
    :param items: N rows.
    :param kinds: of their attributes.
    :param find: gives an item's number, 1 to N, by its id or title.
    :param users: table that conditions on people ask, and the kinds of its columns; None for none.
    :raises RecipeError: where there is no such attribute, value or item.
    """

    def __init__(
        self,
        rules: Rules,
        mark: str,
        table: "Catalog | None",
        items: pl.DataFrame,
        kinds: Mapping[str, Kind],
        find: Callable[[str], int],
        users: tuple[pl.DataFrame, Mapping[str, Kind]] | None = None,
    ) -> None:
        self.rules, self.mark, self.read = rules, mark, (rules, mark, table)
        self.account: list[str] = []
        """How many items each condition meets, and what is pinned, in sentences."""
        if table is not None:
            rows = table.rows.drop(Column.TITLE, Column.TEXT, strict=False)
            items = items.drop(rows.columns, strict=False).with_columns(items[Column.ITEM])
            items = items.join(rows, on=Column.ITEM, how="left", maintain_order="left")
            kinds = {**kinds, **{n: k for n, k in table.kinds.items() if n in rows.columns}}
            other = len(rows) - int(rows[Column.ITEM].is_in(items[Column.ITEM].implode()).sum())
            count = f"{other:,} of {len(rows):,} rows name items that are not known here"
            self.account.append(f"{rules.table}: {count}")

        def meets(condition: str) -> Tensor:
            mask = parse(condition, items, kinds).mask(items)
            return torch.from_numpy(np.append(False, mask.to_numpy()))

        def among(condition: str) -> Filter | None:
            if condition and users is None:
                raise RecipeError(f"Nobody's attributes are known here to say {condition!r}.")
            return parse(condition, *users) if condition and users else None

        self.there = torch.ones(items.height + 1, dtype=torch.bool)
        """(N + 1,) which items may come at all."""
        self.only: list[tuple[Tensor, Filter]] = []
        for where, people in [(rules.in_stock, "")] * bool(rules.in_stock) + [*rules.only]:
            mask, who = meets(where), among(people)
            whom = f" to {people}" * bool(people)
            self.account.append(f"{where}: {mask.sum():,} items may come{whom}")
            if who is None:
                self.there &= mask
            else:
                self.only.append((mask, who))
        self.boost = torch.zeros(items.height + 1)
        """(N + 1,) what is added to scores."""
        for each in rules.boosts:
            self.boost += (mask := meets(each.where)) * math.log(each.times)
            self.account.append(f"{each.where}: {mask.sum():,} items count {each.times:g} times")
        self.pins: list[tuple[int, int, Filter | None]] = []
        for pin in rules.pins:
            whom = f" for {pin.people}" * bool(pin.people)
            self.account.append(f"{pin.item}: pinned to place {pin.place}{whom}, if it may come")
            self.pins.append((pin.place - 1, find(str(pin.item)), among(pin.people)))
        self.limits = [(_members(items, each.per, kinds), each.places) for each in rules.at_most]
        self.account += [f"{x.per}: at most {x.places} of one in a list" for x in rules.at_most]
        self.slack, self.value = 0.0, None
        if rules.tie_break is not None:
            by = rules.tie_break.by
            if parted(kinds.get(by, "text"))[0] != "number":
                numbers = [name for name, kind in kinds.items() if parted(kind)[0] == "number"]
                raise RecipeError(no_such("a number that items have", by, numbers))
            value = items[by].cast(pl.Float32).fill_nan(None).fill_null(-math.inf).to_numpy()
            self.value = torch.from_numpy(np.append(np.float32(-np.inf), value))
            self.slack = -math.log1p(-rules.tie_break.within)

    def fill(
        self,
        scores: Tensor,
        length: int,
        people: pl.DataFrame | None = None,
        *,
        fresh: Tensor | None = None,
        mine: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Fill lists place by place.

        :param scores: (B, N + 1) logarithms of weights with their boosts; -inf for what may not
            come.
        :param length: of the lists, k.
        :param people: B rows of the user table; None where nobody's attributes are known.
        :param fresh: (B, N + 1) scores of new items, which come at the places that are ``mine``,
            (B, k) bool, and at no others.
        :param generator: draws each item by the law of Plackett and Luce; nothing is nearly equal
            there, so that a tie-break counts for nothing.
        :returns: (B, k) int64 items, 0 where nothing is left; and (B, k) float64 propensities of
            each at its place, given the places before, 1 of what is not drawn.
        """
        nothing = torch.full_like(scores, -torch.inf)
        fresh = nothing if fresh is None else fresh
        usual = scores.masked_fill(fresh > -torch.inf, -torch.inf)
        left = self.meant(usual.maximum(fresh) > -torch.inf, people)
        items = self.pinned(left, length, people)
        pinned, chances = items > PADDING, torch.ones(items.shape, dtype=torch.float64)
        counts = [torch.zeros(len(left), int(values.max()) + 1) for values, _ in self.limits]

        def take(taken: Tensor) -> None:
            left.scatter_(1, taken, False)
            for (values, _), count in zip(self.limits, counts, strict=True):
                each = values[taken].flatten(1)
                count.scatter_add_(1, each, torch.ones(each.shape))
                count[:, PADDING] = 0

        take(items)
        for place in range(length):
            pool = usual if mine is None else torch.where(mine[:, [place]], fresh, usual)
            free = left.clone()
            for (values, most), count in zip(self.limits, counts, strict=True):
                free &= ~(count >= most)[:, values].any(-1)
            pool = pool.where(free, nothing)
            best, item = pool.max(1)
            if generator is not None:
                law = pool.double().log_softmax(1).nan_to_num(-torch.inf)
                uniform = torch.rand(law.shape, generator=generator, dtype=torch.float64)
                item = (law - (-uniform.clamp_min(1e-300).log()).log()).argmax(1)
                chances[:, place] = law.gather(1, item[:, None])[:, 0].exp()
            elif self.value is not None:
                near = (pool >= best[:, None] - self.slack) & (pool > -torch.inf)
                value = self.value.expand_as(pool).where(near, nothing)
                near &= value == value.max(1, keepdim=True).values
                item = pool.where(near, nothing).argmax(1)
            item = item.where((best > -torch.inf) & ~pinned[:, place], PADDING)
            items[:, place] += item
            take(item[:, None])
        order = (items == PADDING).to(torch.int8).sort(dim=1, stable=True).indices
        chances = chances.masked_fill(pinned | (items == PADDING), 1.0)
        return items.gather(1, order), chances.gather(1, order)

    @torch.no_grad()
    def varied(
        self, counts: Tensor, vectors: Tensor, length: int, people: pl.DataFrame | None
    ) -> tuple[Tensor, Tensor]:
        """Fill lists with popular items that differ, for people of whom nothing is known.

        :param counts: (B, N + 1) events of each item; -inf for what may not come.
        :param vectors: (N + 1, D).
        :returns: (B, k) int64 items, 0 where nothing is left, and their marginal relevance; of what
            comes last of all it is not known, and its popularity less 2 stands there.
        """
        kinds, which = (counts * self.boost.exp()).unique(dim=0, return_inverse=True)
        scores = kinds / kinds.amax(1, keepdim=True).clamp_min(1e-12) - 2
        for row, kind in enumerate(kinds):
            items, values = diversified(kind, vectors, min(len(kind) - 1, 10 * (length + 5)))
            scores[row, items[items > PADDING]] = values[items > PADDING]
        scores = scores[which]
        # The highest of all is .5: nearly equal are those within a share of it.
        items, _ = self.fill(2 * scores, length, people)
        return items, scores.gather(1, items)

    def meant(self, may: Tensor, people: pl.DataFrame | None) -> Tensor:
        """Take from what may come, (B, N + 1) bool, what these people may not be shown."""
        if people is not None:
            for mask, who in self.only:
                may = may & (mask | ~torch.from_numpy(who.mask(people).to_numpy())[:, None])
        return may

    def pinned(self, may: Tensor, length: int, people: pl.DataFrame | None) -> Tensor:
        """Place what is pinned and may come, (B, N + 1): (B, k) int64, 0 for a free place."""
        may = self.meant(may, people)
        items = torch.zeros(len(may), length, dtype=torch.int64)
        for place, item, who in self.pins:
            if place < length:
                meant = may[:, item] & (items != item).all(1) & (items[:, place] == PADDING)
                if who is not None:
                    meant &= people is not None and torch.from_numpy(who.mask(people).to_numpy())
                items[meant, place] = item
        return items

    def left(self, items: Sequence[int], pinned: Collection[int]) -> Tensor:
        """The items that the rules left open at each place of a list that was filled.

        :param items: of the list, k.
        :param pinned: those of them that were.
        :returns: (k, N + 1) bool; what came at earlier places counts as open, and no pinned one.
        """
        left = self.there.repeat(len(items), 1)
        for values, most in self.limits:
            for place, free in enumerate(left):
                before = [n for at, n in enumerate(items) if at < place or n in pinned]
                full = values[before].flatten().bincount(minlength=int(values.max()) + 1) >= most
                full[PADDING] = False
                free &= ~full[values].any(-1)
        left[:, [*pinned]] = False
        return left


class RuleBook:
    """The rules of a folder, read again where they have changed.

    :param folder: of a run or an export.
    :param people: what :class:`Standing` is given of them.
    """

    def __init__(self, folder: Path, *people: Any) -> None:
        self.path = self._table = folder / FILE
        self._people, self._column = people, ""
        self._seen: object = None
        self._items: pl.DataFrame | None = None
        self._standing: Standing | None = None

    def of(self, items: pl.DataFrame, kinds: Mapping[str, Kind]) -> Standing | None:
        """The rules for a catalog, as :class:`Standing` takes it; None where there are none.

        Where a change cannot be read, the rules before continue, and a warning says why.

        :raises RecipeError: where the first rules cannot be read.
        """
        if self._seen != self._version():
            try:
                there = self.path.is_file()
                self._standing = self._read(self.path.read_bytes(), items, kinds) if there else None
                self._items = items
            except (LightrecError, OSError) as error:
                if self._items is None:
                    raise RecipeError(f"{self.path}: {error}") from None
                plugins.warn(f"The rules of {self.path} stay as they were: {error}")
            self._seen = self._version()
        if self._items is not items and self._standing is not None:
            self._standing = Standing(*self._standing.read, items, kinds, *self._people)
        self._items = items
        return self._standing

    def copy(self, folder: Path) -> None:
        """Copy the rules into another folder, if there are any; both read one table."""
        if self.path.is_file():
            rules = _rules(self.path.read_bytes())
            if rules.get("table"):
                rules["table"] = str((self.path.parent / rules["table"]).absolute())
            if self._column:
                rules["item_column"] = self._column
            (folder / FILE).write_text(yaml.safe_dump(rules, sort_keys=False), encoding="utf-8")

    def _version(self) -> object:
        """Marks of the present files, which differ from others'."""
        stats = [path.stat() for path in (self.path, self._table) if path.exists()]
        return [(each.st_mtime_ns, each.st_size, each.st_ino) for each in stats]

    def _read(self, content: bytes, items: pl.DataFrame, kinds: Mapping[str, Kind]) -> Standing:
        # Their imports take long, and most runs have no rules.
        from lightrec.data.readers.base import read_table
        from lightrec.settings import make_of

        rules: Rules = make_of(Rules, _rules(content))
        table = None
        if rules.table:
            self._table = self.path.parent / rules.table
            names = [rules.item_column] if rules.item_column else _called(self.path.parent)
            for self._column in [*names, ""]:
                named = {"item": self._column} if self._column else None
                try:
                    table = read_table(self._table, "item", named)
                    break
                except DataError as error:
                    what, advice, _ = str(error).partition("By their values")
                    if not self._column:
                        how = f"Call it item, or name it in {FILE} as item_column." * bool(advice)
                        raise RecipeError(what + how) from None
            content += self._table.read_bytes()
        mark = hashlib.sha256(content).hexdigest()[:12]
        return Standing(rules, mark, table, items, kinds, *self._people)


def _called(folder: Path) -> list[str]:
    """Name the columns of items in the tables from which the run in a folder was made."""
    file = folder / "data" / STAMP
    words = " ".join(json.loads(file.read_text())["overrides"]) if file.is_file() else ""
    columns = re.findall(r"--(?:item_)?columns[= ](\{[^}]*\})", words)
    return [str(names["item"]) for names in map(yaml.safe_load, columns) if names.get("item")]


def _rules(content: bytes) -> dict[str, Any]:
    try:
        said = yaml.safe_load(content) or {}
    except yaml.YAMLError as error:
        raise RecipeError(f"This is no YAML: {error}") from None
    if not isinstance(said, dict):
        raise RecipeError(f"Expected are rules by their names, and not {said!r:.60}.")
    return said


def _members(items: pl.DataFrame, name: str, kinds: Mapping[str, Kind]) -> Tensor:
    """Number the values that items have of an attribute: (N + 1, W) int64, 0 for none."""
    if name not in kinds:
        raise RecipeError(no_such("an attribute of the items", name, kinds))
    values = items[name] if kinds[name] == "list" else items.select(pl.concat_list(name))[name]
    rows = pl.DataFrame({"values": values}).with_row_index("row").explode("values").drop_nulls()
    codes = rows.with_columns(
        pl.col("values").rank("dense").cast(pl.Int64), place=pl.int_range(pl.len()).over("row")
    )
    width = 1 if codes.is_empty() else int(codes["place"].max()) + 1  # type: ignore[arg-type]
    members = torch.zeros(items.height + 1, width, dtype=torch.int64)
    at = codes["row"].cast(pl.Int64).to_torch() + 1
    members[at, codes["place"].to_torch()] = codes["values"].to_torch()
    return members


def rules(run: Path) -> None:
    """Check the standing rules of a run, and say what they come to.

    example:
      lightrec rules runs/shop

    The rules stand in rules.yaml in the run's folder: stock, boosts, pins, limits and margin. Edit
    the file, and no training is needed: `recommend` and `serve` read it again whenever it, or the
    table that it names, has changed.

    :param run: a run folder, such as runs/shop.
    """
    from lightrec.recommend import Recommender

    recommender = Recommender(run, "blend")
    book, kinds = recommender.book, recommender.store.item_kinds
    path, standing = book.path, book.of(recommender.catalog, kinds)
    if standing is None:
        print(f"{run} has no standing rules: write them into {path}.")
        return
    print(f"{path} can be used.", *standing.account, sep="\n")
