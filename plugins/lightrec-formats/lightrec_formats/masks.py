"""What attributes forbid to show: amounts, limits, windows of time and places, for `eligible`.

Each gives what may be shown, (U, N) bool or what broadcasts to it, and None where a log lacks what
it reads; :func:`every` joins them.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightrec.api import Audience, DataError
from lightrec_formats.names import in_common

Mask: TypeAlias = NDArray[np.bool_]


def every(audience: Audience, *masks: Mask | None) -> Mask | None:
    """What all masks allow, (U, N); None where no mask applies."""
    shape = audience.users.height, audience.items.height
    there = [mask for mask in masks if mask is not None]
    return np.logical_and.reduce([np.broadcast_to(m, shape) for m in there]) if there else None


def left(audience: Audience, name: str) -> Mask | None:
    """Forbid what has run out, such as a stock or a budget: a number that is not above 0.

    An item of which it is not known is allowed.
    """
    if name not in audience.items.columns:
        return None
    return (audience.items[name].cast(pl.Float64, strict=False) > 0).fill_null(True).to_numpy()


def up_to(
    audience: Audience,
    item: str,
    user: str,
    *,
    unknown: tuple[float, float] = (np.inf, 0),
    read: Callable[[pl.DataFrame, str], pl.Series] | None = None,
) -> Mask | None:
    """Forbid items whose number is above the user's, such as a risk above the bearable one.

    It applies where users or items have the attribute, since somebody cares then.

    :param unknown: what counts for an item without a number, and for a user without one.
    :param read: reads a column of a table, with null for what is no number; :func:`amounts`.
    """
    if item not in audience.items.columns and user not in audience.users.columns:
        return None
    read, (most, least) = read or amounts, unknown
    limits = read(audience.users, user).fill_null(least).to_numpy()
    return np.asarray(limits[:, None] >= read(audience.items, item).fill_null(most).to_numpy())


def between(audience: Audience, starts: str, ends: str) -> Mask | None:
    """Forbid items before and after a window of time; what is not known forbids nothing.

    A date without a time ends with its day.

    :raises DataError: where an attribute holds no dates.
    """
    now = audience.time.dt.epoch("ms").cast(pl.Float64).to_numpy()[:, None]
    # What is not known is NaN, and neither before nor after anything.
    items, masks = audience.items, []
    if starts in items.columns:
        masks.append(~(now < _moments(items[starts])))
    if ends in items.columns:
        masks.append(~(now > _moments(items[ends]) + 86_399_999 * (items[ends].dtype == pl.Date)))
    return every(audience, *masks)


def within(audience: Audience, places: str, user: str) -> Mask | None:
    """Forbid items outside of the places that they name to people who are not in one of these.

    An item that names none is for all places, and a person in no known place is in none.

    :param places: the items' attribute, a name or a list of them.
    :param user: the users' attribute, a name or a list of them.
    """
    if places not in audience.items.columns:
        return None
    items, count = audience.items[places], audience.users.height
    here = pl.Series([None] * count, dtype=pl.String)
    if user in audience.users.columns:
        here = audience.users[user]
    named = items.list.len() > 0 if isinstance(items.dtype, pl.List) else items.is_not_null()
    return ~named.fill_null(False).to_numpy() | (in_common(here, items) > 0)


def without(audience: Audience, kind: str) -> Mask:
    """Forbid what people have an event of this kind about, such as a ban, known to be of it."""
    past = audience.past
    number = 1 + [*past.kind_names, kind].index(kind)
    allowed = np.ones((audience.users.height, audience.items.height + 2), bool)
    np.put_along_axis(allowed, past.history * (past.kinds == number), False, axis=1)
    return allowed[:, 1:-1]


def amounts(table: pl.DataFrame, name: str) -> pl.Series:
    """A column of numbers of 0 or more; null where there is none."""
    if name not in table.columns or table[name].dtype.is_nested():
        return pl.Series(name, [None] * table.height, pl.Float64)
    numbers = table[name].cast(pl.Float64, strict=False)
    return numbers.set(~(numbers >= 0).fill_null(False), None)


def _moments(dates: pl.Series) -> NDArray[np.float64]:
    """Dates or datetimes as milliseconds since 1970, NaN where there is none.

    :raises DataError: where it holds something else, whose unit nobody knows.
    """
    if not (dates.dtype.is_temporal() or dates.dtype == pl.Null):
        raise DataError(
            f"The items' attribute {dates.name!r} is to hold dates or times, such as 2025-03-01 "
            f"12:00:00, and holds {dates.dtype}: write it so, or rename it."
        )
    return dates.cast(pl.Datetime("ms")).dt.epoch("ms").cast(pl.Float64).to_numpy()
