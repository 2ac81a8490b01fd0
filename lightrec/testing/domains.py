"""The contract of domains: how any catalog is put into words, and what may be shown to whom."""

import datetime
import re
from collections.abc import Callable

import numpy as np
import polars as pl

from lightrec.data.domain import Domain
from lightrec.keys import Column
from lightrec.testing.contract import Check, checks_of, expect, name_of, run_all

MakeDomain = Callable[[], Domain]


def domain_checks(make: MakeDomain, part: str | None = None) -> list[Check]:
    """Give the checks of a domain.

    :param make: builds a fresh domain, such as its class.
    :param part: its name in ids and messages; by default that of ``make``.
    """
    return checks_of(part or name_of(make), CHECKS, make)


def check_domain(make: MakeDomain) -> None:
    """Run all checks of a domain.

    :raises ContractError: that lists all that failed.
    """
    run_all(domain_checks(make))


def name(make: MakeDomain) -> None:
    """A word for the command line and for folders."""
    found = make().name
    expect(
        isinstance(found, str) and re.fullmatch(r"[a-z][a-z0-9_-]*", found),
        "A domain's name is a plain word: small letters, digits, hyphens, a letter first.",
        f"It is {found!r}.",
        'Set `name = "my-domain"` in the class.',
    )


def repeats(make: MakeDomain) -> None:
    """Whether items repeat is a decision."""
    found = make().repeats
    expect(
        isinstance(found, bool),
        "`repeats` is True or False.",
        f"It is {found!r}.",
        "Set `repeats = True` in the class where people come back to the same item, else False.",
    )


def sample_name(make: MakeDomain) -> None:
    """A domain that names a sample can fetch it."""
    domain = make()
    found = domain.sample_name
    own = type(domain).sample is not Domain.sample
    expect(
        found is None or (isinstance(found, str) and found and own),
        "`sample_name` is None, or the name of a sample that the method `sample` fetches.",
        f"It is {found!r}, and `sample` is {'defined' if own else 'that of the base class'}.",
        "Define `sample`, or leave `sample_name` out.",
    )


def text(make: MakeDomain) -> None:
    """One string an item."""
    _strings(make, catalog(), "a catalog with titles and attributes")


def title_only(make: MakeDomain) -> None:
    """Catalogs may have titles and nothing else."""
    _strings(make, catalog().select(Column.ITEM, Column.TITLE), "a catalog with titles only")


def ids_only(make: MakeDomain) -> None:
    """Catalogs may have nothing but ids."""
    _strings(make, catalog().select(Column.ITEM), "a catalog with ids only")


def null_titles(make: MakeDomain) -> None:
    """Titles may be missing."""
    empty = catalog().with_columns(pl.lit(None, pl.String).alias(Column.TITLE))
    _strings(make, empty, "a catalog without any known title")
    attributes = [pl.lit(None, dtype).alias(n) for n, dtype in catalog().schema.items()]
    nothing = catalog().select(Column.ITEM, *attributes[1:])
    _strings(make, nothing, "a catalog in which nothing is known of any item")


def odd_attributes(make: MakeDomain) -> None:
    """Attributes may be of any type, under any name."""
    odd = ODD_ATTRIBUTES
    for series in (*odd, *(odd[0].alias(name) for name in ("price {EUR}", "a b", "é", "100%"))):
        frame = catalog().select(Column.ITEM, Column.TITLE).with_columns(series)
        _strings(make, frame, f"an attribute '{series.name}' of type {series.dtype}")


def rows_apart(make: MakeDomain) -> None:
    """An item's text does not depend on the items beside it, nor on their order."""
    domain, items = make(), catalog()
    together = domain.text(items).to_list()
    alone = [domain.text(items[row]).to_list()[0] for row in range(items.height)]
    turned = domain.text(items.reverse()).to_list()[::-1]
    expect(
        together == alone == turned,
        "An item's text is the same alone, beside others, and in any order.",
        f"Together: {together}; alone: {alone}; turned: {turned}.",
        "Compute each row from itself and leave the order of the rows.",
    )


def input_unchanged(make: MakeDomain) -> None:
    """The catalog is only read."""
    items = catalog()
    domain = make()
    domain.text(items)
    domain.eligible(users(), items)
    expect(
        items.equals(catalog()) and items.schema == catalog().schema,
        "A domain leaves the catalog as it is.",
        f"It has the columns {', '.join(items.columns)} afterwards.",
        "Use `with_columns`, which gives a new frame, in place of methods that insert or replace.",
    )


def eligible(make: MakeDomain) -> None:
    """A row a user and a column an item, whatever is known of them."""
    known, items = users(), catalog().with_columns(pl.lit("").alias(Column.TEXT))
    for people, what in (
        (known, "users with attributes"),
        (known.select(Column.USER), "users with ids only"),
        (known.clear(1), "a person who is not in the log"),
    ):
        for things in (items, items.select(Column.ITEM, Column.TITLE, Column.TEXT)):
            found = make().eligible(people, things)
            shape = (people.height, things.height)
            fits = isinstance(found, np.ndarray) and found.dtype == bool and found.shape == shape
            described = getattr(found, "dtype", type(found).__name__), getattr(found, "shape", "")
            expect(
                found is None or fits,
                f"What may be shown to {what} is None, or a numpy array of bool, {shape}: a row a "
                "user, a column an item.",
                f"It is {described[0]} {described[1]}".rstrip(),
                "Compare columns of the two tables as `to_numpy()`, the users' with `[:, None]`.",
            )


def eligible_alone(make: MakeDomain) -> None:
    """What a user may be shown depends neither on the other users of a batch nor on chance."""
    domain, people, items = make(), users(), catalog()
    together, again = domain.eligible(people, items), make().eligible(people, items)
    rows = [domain.eligible(people[row], items) for row in range(people.height)]
    alone = [row for row in rows if row is not None]
    if together is None or again is None or len(alone) < len(rows):
        same = together is None and again is None and not alone
    else:
        same = all(np.array_equal(together, x) for x in (again, np.concatenate(alone)))
    expect(
        same,
        "What may be shown to a user is the same alone, in a batch of users, and every time.",
        "It differs between one batch of users, each user alone, and a second time.",
        "Compute each user's row from that user's values, and draw nothing by chance.",
    )


CHECKS = (
    name,
    repeats,
    sample_name,
    text,
    title_only,
    ids_only,
    null_titles,
    odd_attributes,
    rows_apart,
    input_unchanged,
    eligible,
    eligible_alone,
)

ODD_ATTRIBUTES = (
    pl.Series("number", [1.5, None, float("nan"), float("inf")]),
    pl.Series("flag", [True, None, False, True]),
    pl.Series("day", [datetime.date(2024, 1, 31), None, None, None]),
    pl.Series("moment", [datetime.datetime(2024, 1, 31, 12), None, None, None]),
    pl.Series("length", [datetime.timedelta(minutes=3), None, None, None]),
    pl.Series("hour", [datetime.time(12, 30), None, None, None]),
    pl.Series("words", [["a", None], [], None, ["b"]]),
    pl.Series("maker", [{"name": "Ada", "year": 1}, {"name": None, "year": None}, None, None]),
    pl.Series("parts", [[{"a": 1}], [], None, [{"a": None}]]),
    pl.Series("pair", [[1, 2], [3, 4], None, [5, 6]], dtype=pl.Array(pl.Int64, 2)),
    pl.Series("kind", ["tea", None, "rope", "tea"], dtype=pl.Categorical),
    pl.Series("bytes", [b"\xff", None, b"", b"tea"]),
    pl.Series("nothing", [None] * 4, dtype=pl.Null),
)
"""What item tables hold elsewhere: four rows of each type."""


def catalog() -> pl.DataFrame:
    """Give four items: one whole, one without a title, one with nothing, one in other scripts."""
    return pl.DataFrame(
        {
            Column.ITEM: ["a", "b", "c", "d"],
            Column.TITLE: ["A red lamp", None, None, "茶 🍵 שלום"],
            "year": [1995, 2001, None, None],
            "genres": [["tea", "rope"], ["tea"], None, []],
            "maker": ["Ada", None, None, "{}"],
        }
    )


def users() -> pl.DataFrame:
    """Give three users: two with attributes, as a CSV file holds them, and one with none."""
    return pl.DataFrame(
        {Column.USER: ["u", "v", "w"], "age": ["40", "12", None], "country": ["fr", "", None]}
    )


def _strings(make: MakeDomain, items: pl.DataFrame, what: str) -> None:
    mend = "Fill what is not known with an empty string, and leave out what cannot be put in words."
    expected = f"The text of {what} is a polars Series of one string an item, none of them null."
    try:
        found = make().text(items)
    except pl.exceptions.PolarsError as error:
        said = str(error).split("\n")[0].rstrip(".")
        expect(False, expected, f"Polars raised {type(error).__name__}: {said}.", mend)
    good = isinstance(found, pl.Series) and found.dtype == pl.String and not found.null_count()
    described = f"{found.dtype} {found.to_list()}" if isinstance(found, pl.Series) else repr(found)
    expect(good and len(found) == items.height, expected, f"It is {described}.", mend)
