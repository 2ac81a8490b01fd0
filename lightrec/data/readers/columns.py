"""Which column of a file is which column of a log, by name."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from lightrec.data.problems import Problems
from lightrec.keys import Column

_DATUM: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|\d{4}-\d\d-\d\d")

_USER: Final = [
    "user",
    "userid",
    "uid",
    "customer",
    "customerid",
    "visitor",
    "visitorid",
    "member",
    "memberid",
    "account",
    "accountid",
    "reviewer",
    "reviewerid",
    "person",
    "personid",
]
_ITEM: Final = [
    "item",
    "itemid",
    "iid",
    "movie",
    "movieid",
    "product",
    "productid",
    "sku",
    "asin",
    "parentasin",
    "article",
    "articleid",
    "news",
    "newsid",
    "song",
    "songid",
    "track",
    "trackid",
    "artist",
    "artistid",
    "book",
    "bookid",
    "video",
    "videoid",
    "content",
    "contentid",
    "recipe",
    "recipeid",
    "ticker",
]

LOG_NAMES: Final[dict[str, Sequence[str]]] = {
    Column.USER: _USER,
    Column.ITEM: _ITEM,
    Column.TIME: [
        "time",
        "timestamp",
        "timestampms",
        "ts",
        "datetime",
        "date",
        "eventtime",
        "createdat",
    ],
    Column.FEEDBACK: [
        "feedback",
        "event",
        "eventtype",
        "action",
        "behavior",
        "behaviour",
        "interaction",
    ],
    Column.VALUE: [
        "value",
        "rating",
        "score",
        "stars",
        "overall",
        "preference",
        "label",
        "click",
        "clicked",
    ],
    Column.COUNT: ["count", "plays", "playcount", "listens", "quantity"],
    Column.SESSION: ["session", "sessionid"],
    Column.IMPRESSION: ["impression", "impressionid"],
    Column.POSITION: ["position", "slot", "rank"],
    Column.PROPENSITY: ["propensity", "propensityscore", "pscore"],
    Column.CANDIDATES: ["candidates", "candidateset"],
}
"""Names taken for each column of a log, the first one that is there. Case, blanks, underscores,
hyphens and dots do not count: ``userId``, ``user_id`` and ``User ID`` are one name."""

CATALOG_NAMES: Final[dict[str, Sequence[str]]] = {
    Column.ITEM: [*_ITEM, "id"],
    Column.TITLE: [
        "title",
        "name",
        "movietitle",
        "itemtitle",
        "itemname",
        "producttitle",
        "productname",
        "headline",
    ],
    Column.TEXT: ["text"],
}
"""Names taken for the columns of an item table; all others are attributes."""

USER_NAMES: Final[dict[str, Sequence[str]]] = {Column.USER: [*_USER, "id"]}
"""Names taken for the columns of a user table; all others are attributes."""


def match_columns(
    found: Sequence[str],
    names: Mapping[str, Sequence[str]],
    given: Mapping[str, str] | None,
    required: Sequence[str],
    problems: Problems,
) -> dict[str, str]:
    """Find the file's column for each canonical column.

    :param found: the file's columns.
    :param names: ``LOG_NAMES``, ``CATALOG_NAMES`` or ``USER_NAMES``.
    :param given: canonical name to file name, which goes before recognition; None where a file's
        columns cannot be named.
    :param required: canonical columns that must be there.
    :param problems: gets a sentence for each column that is missing or unknown.
    :returns: canonical name to file name.
    """
    can_be_named, given = given is not None, dict(given or {})
    has = ", ".join(f"'{name}'" for name in found) or "no columns"
    matched: dict[str, str] = {}
    for canonical, name in given.items():
        if canonical not in names:
            problems.add(f"'{canonical}' is none of the columns {', '.join(names)}.")
        elif name not in found:
            problems.add(f"There is no column '{name}' (named as {canonical}); there are {has}.")
        else:
            matched[canonical] = name
    taken = set(matched.values())
    plain = {_plain(name): name for name in reversed(found) if name not in taken}
    for canonical, aliases in names.items():
        if canonical in given:
            continue
        alias_found = next((plain[alias] for alias in aliases if alias in plain), None)
        if alias_found is not None:
            matched[canonical] = alias_found
        elif canonical in required and _looks_like_data(found):
            problems.add(
                f"The first line ({', '.join(found)}) looks like data; the file needs a first line "
                "that names the columns, such as user,item,time."
            )
        elif canonical in required:
            free = next((name for name in found if name not in matched.values()), "…")
            example = f"{{{canonical}: {free}}}"
            named = f", or name it in the setting columns, for example {example}"
            problems.add(
                f"No column was recognised as {canonical}; there are {has}. Rename the one that it "
                f"is{named if can_be_named else ''}."
            )
    return matched


def _looks_like_data(found: Sequence[str]) -> bool:
    """Whether most of what stands in the first line are numbers or dates."""
    data = sum(bool(_DATUM.match(name.strip())) for name in found)
    return data > len(found) / 2


def _plain(name: str) -> str:
    return re.sub(r"[\s_.\-]", "", name).lower()
