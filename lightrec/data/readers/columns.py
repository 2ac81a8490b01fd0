"""Which column of a file is which: by the names people give them, and by what they hold."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import permutations
from math import log10
from typing import Final

import polars as pl

from lightrec.data.schema import Problems, Table
from lightrec.data.times import looks_like_times
from lightrec.data.words import WORDS
from lightrec.keys import Column

_MARKS: Final = re.compile(r"[\s_.\-]")
_NUMBER: Final = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?$")

_MONEY, _TITLE, _KINDS = (WORDS["parts"][kind].split() for kind in ("money", "title", "kinds"))

LOG_NAMES: Final = {column: words.split() for column, words in WORDS["columns"].items()}
"""Names by which each column of a log is recognised, in order of preference. Case, blanks,
underscores, hyphens and dots do not count: ``userId``, ``user_id`` and ``User ID`` are one name."""
CATALOG_NAMES: Final = {
    Column.ITEM: [*LOG_NAMES[Column.ITEM], "id"],
    **{column: words.split() for column, words in WORDS["items"].items()},
}
"""Names of the columns of an item table; all others are attributes."""
USER_NAMES: Final = {Column.USER: [*LOG_NAMES[Column.USER], "id"]}
"""Names of the columns of a user table; all others are attributes."""

_KNOWN: Final = {name for n in (LOG_NAMES, CATALOG_NAMES) for names in n.values() for name in names}


def match_columns(
    table: Table,
    names: Mapping[str, Sequence[str]],
    named: Mapping[str, str] | None,
    required: Sequence[str],
    problems: Problems,
    likely: Callable[[Mapping[str, str]], str] | None = None,
) -> dict[str, str]:
    """Find a table's column for each canonical column.

    :param names: ``LOG_NAMES``, ``CATALOG_NAMES`` or ``USER_NAMES``.
    :param named: canonical name to file name or position, used before recognition.
    :param required: canonical columns that must be there.
    :param problems: receives a sentence for each column that is missing, unknown or there twice.
    :param likely: gives the sentence that says which column may be the missing one.
    :returns: canonical name to file name.
    """
    present, has = table.names, table.shown()
    for name, times in Counter(present).items():
        if times > 1:
            problems.add(
                f"The column '{name}' is there {times} times; give each column a name of its own."
            )
    matched, named = dict[str, str](), named or {}
    for canonical, name in named.items():
        at = int(name) - 1 if name.isdecimal() else -1
        if canonical not in names:
            problems.add(f"'{canonical}' is none of the columns {', '.join(names)}.")
        elif name in present or 0 <= at < len(present):
            matched[canonical] = name if name in present else present[at]
        else:
            problems.add(f"There is no column '{name}' (named as {canonical}); there are {has}.")
    taken = set(matched.values())
    plain = {_plain(name): name for name in reversed(present) if name not in taken}
    unnamed = [name for name in names if name not in named]
    for canonical in unnamed:
        match = next((plain[alias] for alias in names[canonical] if alias in plain), None)
        if match is not None:
            matched[canonical] = match
    for canonical in [name for name in unnamed if name in required and name not in matched]:
        advice = likely(matched) if likely else "Rename the one that it is."
        problems.add(f"No column was recognised as {canonical}; there are {has}. {advice}")
    return matched


def _plain(name: str) -> str:
    return _MARKS.sub("", name).lower()


def looks_like_data(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first of the rows holds values, as all others do, and does not name the columns.

    That is where a field of it comes again in its column, or where no name is known and one is a
    number or a time, or has letters and digits in the places of all other values of its column.
    """
    first = list(rows[0]) if rows else []
    others = [row for row in rows[1:] if len(row) == len(first) and list(row) != first]
    columns = [[row[at] for row in others] for at in range(len(first))]
    if first == [str(number) for number in range(len(first))]:  # as pandas names columns
        return False
    if any(field and field in column for field, column in zip(first, columns, strict=True)):
        return True
    if any(_plain(name) in _KNOWN for name in first):
        return False
    if any(_NUMBER.match(field.strip()) or looks_like_times([field]) for field in first):
        return True
    return any(
        len(c) > 1 and re.search(r"\d", field) and {_shape(value) for value in c} == {_shape(field)}
        for field, c in zip(first, columns, strict=True)
    )


def _shape(value: str) -> str:
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", value))


def likely_columns(
    rows: pl.DataFrame, matched: Mapping[str, str], names: Mapping[str, object]
) -> dict[str, str]:
    """Say which columns may be those of a log or a table, by what they hold.

    In a log users repeat over items and items over users, and neither tells the other; in a table
    every row has another id.

    :param rows: some rows, as strings or with their types.
    :param matched: what is known, which stays.
    :param names: such as ``LOG_NAMES``.
    :returns: canonical name to column, for what is known and what is likely.
    """
    texts = {c.name: c.cast(pl.String).drop_nulls() for c in rows if not c.dtype.is_nested()}
    texts = {name: text for name, text in texts.items() if len(text)}
    likely = dict(matched)
    taken = set(matched.values())
    times = [
        name
        for name, text in texts.items()
        if name not in taken and looks_like_times(text.head(100).to_list())
    ]
    if Column.TIME in names and Column.TIME not in likely and times:
        likely[Column.TIME] = times[0]
    kinds = {name: text.n_unique() for name, text in texts.items() if name not in times}
    if Column.TIME not in names:
        words = [
            n
            for n, count in kinds.items()
            if texts[n].str.contains(" ").sum() > len(texts[n]) / 2
            or (2 * count > rows.height and _hints(n, _TITLE))
        ]
        key = next(iter(names if Column.USER in names else [Column.ITEM]))
        ids = [n for n, count in kinds.items() if count == len(texts[n]) and n not in words]
        likely |= {key: ids[0]} if ids and key not in likely else {}
        if Column.TITLE in names and Column.TITLE not in likely and words:
            likely[Column.TITLE] = max(words, key=lambda name: len(texts[name]))
        return likely
    is_marked = {n: text.str.contains(r"-[01]( \S+-[01])*$").all() for n, text in texts.items()}
    marked = [name for name in kinds if is_marked[name] and name not in taken]
    if marked and not {Column.ITEM, Column.CANDIDATES} & {*likely}:
        likely[Column.CANDIDATES] = marked[0]
    number = {n: texts[n].cast(pl.Float64, strict=False).null_count() == 0 for n in kinds}
    few = [n for n, count in kinds.items() if count <= max(2, min(12, len(texts[n]) // 3))]
    ids = [
        n
        for n in kinds
        if (not number[n] or rows[n].dtype.is_float() or texts[n].str.contains(r"^-?\d+$").all())
        and texts[n].str.count_matches(" ").sum() < 1.5 * len(texts[n])
        and (n not in taken or n in (matched.get(Column.USER), matched.get(Column.ITEM)))
        and n not in marked
    ]
    many = [name for name in ids if name not in few or name in taken]
    likely |= _likely_pair(rows, many if len(many) > 1 else ids, kinds, matched)
    if Column.CANDIDATES in likely and Column.ITEM not in matched:
        likely.pop(Column.ITEM, None)
    rest = [n for n in kinds if n in few and n not in likely.values()]
    values = [n for n in rest if number[n] and texts[n].cast(pl.Float64).is_between(-10, 100).all()]
    values = [n for n in values if not _hints(n, _MONEY)]  # what is paid is no grade
    counts = [n for n in values if _hints(n, LOG_NAMES[Column.COUNT])]
    words = [n for n in rest if not number[n] and (_hints(n, _KINDS) or looks_like_kinds(texts[n]))]
    grades = [n for n in values if n not in counts]
    roles = Column.VALUE, Column.COUNT, Column.FEEDBACK
    for role, columns in zip(roles, (grades, counts, words), strict=True):
        if role not in likely and columns and kinds[columns[0]] > 1:
            likely[role] = columns[0]
    return {name: likely[name] for name in names if name in likely}


def looks_like_kinds(values: Iterable[str]) -> bool:
    """Whether values are kinds of events, such as view and order: few words, one of them known."""
    kinds = {_plain(value) for value in values}
    return len(kinds) <= 12 and not kinds.isdisjoint(WORDS["done"].split())


def _likely_pair(
    rows: pl.DataFrame, ids: Sequence[str], kinds: Mapping[str, int], matched: Mapping[str, str]
) -> dict[str, str]:
    """Say which two columns may be users and items."""
    again = [name for name in ids if kinds[name] < rows.height] or ids
    best, pair = -1.0, dict[str, str]()
    for user, item in permutations(ids[:10], 2):
        if user not in again or user != matched.get(Column.USER, user):
            continue
        if item != matched.get(Column.ITEM, item):
            continue
        pairs = rows.select(pl.struct(user, item).n_unique()).item()
        # Where one column tells the other, both say the same thing; few values say little.
        score = 3 * (pairs > max(kinds[user], kinds[item])) + log10(kinds[user] * kinds[item])
        score += 9 * (_hints(user, LOG_NAMES["user"]) + _hints(item, LOG_NAMES["item"]))
        if (score := score + (ids.index(user) < ids.index(item)) / 2) > best:
            best, pair = score, {Column.USER: user, Column.ITEM: item}
    return pair


def _hints(name: str, words: Sequence[str]) -> bool:
    return any(len(word) > 3 and word in _plain(name) for word in words)
