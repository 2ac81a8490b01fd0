"""What fields forbid by attributes: cases by hand."""

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from lightrec import plugins
from lightrec.api import Audience, DataError, Key, Past

NOW = pl.Series("time", [datetime(2025, 3, 1, 12, tzinfo=UTC)] * 3, pl.Datetime("ms", "UTC"))
NOTHING = Past.of({Key.HISTORY: np.zeros((3, 1), np.int64)}, [])
CASES = {
    "stock": ("ecommerce", {"stock": [0, 1, None]}, {}, [[0, 1, 1]] * 3),
    "season": (
        "ecommerce",
        {
            "available_from": [datetime(2025, 2, 1), datetime(2025, 4, 1), None],
            "available_until": [date(2025, 2, 28), None, date(2025, 3, 1)],
        },
        {},
        [[0, 0, 1]] * 3,
    ),
    "ages": (
        "video",
        {"age_rating": [0, 16, None]},
        {"age": [15, 18, None]},
        [[1, 0, 0], [1, 1, 1], [1, 0, 0]],
    ),
    "ratings, and nobody's age": ("video", {"age_rating": [0, 18, None]}, {}, None),
    "places": (
        "video",
        {"territories": [["NO", "SE"], [], None]},
        {"country": ["SE", "DK", None]},
        [[1, 1, 1], [0, 1, 1], [0, 1, 1]],
    ),
    "explicit": (
        "music",
        {"explicit": [True, False, None]},
        {"explicit": [True, False, None]},
        [[1, 1, 1], [0, 1, 0], [0, 1, 0]],
    ),
    "expired": ("social", {"expires": [datetime(2025, 2, 1), None, None]}, {}, [[0, 1, 1]] * 3),
}


@pytest.mark.parametrize(("field", "items", "users", "allowed"), CASES.values(), ids=CASES)
def test_what_is_forbidden(field, items, users, allowed):
    people, things = pl.DataFrame({"user": [*"uvw"], **users}), pl.DataFrame({"item": [*"abc"]})
    audience = Audience(
        users=people, items=things.with_columns(**_series(items)), time=NOW, past=NOTHING
    )
    mask = plugins.installed().get("domains", field).made().eligible(audience)
    assert mask is None if allowed is None else np.array_equal(mask, np.array(allowed, bool))


def test_numbers_are_no_dates():
    items = pl.DataFrame({"item": ["a"], "expires": [1_738_500_000]})
    audience = Audience(users=pl.DataFrame({"user": ["u"]}), items=items, time=NOW[:1])
    with pytest.raises(DataError, match="'expires' is to hold dates or times"):
        plugins.installed().get("domains", "social").made().eligible(audience)


def _series(columns):
    return {name: pl.Series(name, values) for name, values in columns.items()}
