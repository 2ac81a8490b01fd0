"""Names in common, by hand."""

import polars as pl
from lightrec_formats.names import in_common


def test_names_in_common_are_counted():
    users, items = pl.Series([["a", "b", "a"], None, ["c"]]), pl.Series(["a", None, "c"])
    assert in_common(users, items).tolist() == [[2, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert in_common(items, users).tolist() == [[2, 0, 0], [0, 0, 0], [0, 0, 1]]
