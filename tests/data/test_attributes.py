"""Features of attributes: known numbers, what gives none, and what a stranger's profile gives."""

from datetime import date

import numpy as np
import polars as pl
import pytest
import torch

from lightrec.data.attributes import FARTHEST, FEW, Features


def test_numbers_are_in_standard_deviations_and_skewed_ones_by_their_logarithms():
    days = [date(2024, 1, day) for day in (1, 1, 3, 3)]
    table = pl.DataFrame({"age": [10, 20, None, 30], "added": days, "same": [1, 1, 1, 1]})
    features = Features(table, dict.fromkeys(table.columns, "number") | {"added": "date"})
    assert features.names == ["age", "age: unknown", "added"]
    # The attribute's features together have a mean square of 1: (1.5 + 0 + 0 + 1.5 + 1) / 4.
    expected = torch.tensor([[-(1.5**0.5), 0], [0, 0], [0, 1], [1.5**0.5, 0]])
    torch.testing.assert_close(features(table)[:, :2], expected)
    assert features(table)[:, 2].tolist() == [-1, -1, 1, 1]
    prices = pl.DataFrame({"price": [1.0] * 30 + [10.0] * 30 + [1000.0, 0.5]})
    skewed = Features(prices, {"price": "number"})
    assert skewed.names == ["price (log)"]
    assert skewed(prices).square().mean() == pytest.approx(1)
    low, middle, high = skewed(pl.DataFrame({"price": [1.0, 10.0, 100.0]}))[:, 0].tolist()
    assert high - middle == pytest.approx(middle - low)
    free, unknown, farthest = skewed(pl.DataFrame({"price": [0.0, None, 1e9]}))[:, 0].tolist()
    assert (-free, unknown) == (farthest, 0)
    assert farthest == pytest.approx(FARTHEST, rel=0.2)  # the clamped one counts less


def test_categories_and_lists_have_a_feature_for_each_member_and_one_for_the_rare_ones():
    colours = ["red"] * FEW + ["blue"] * FEW + ["green", "pink"]
    tags = [["a", "b"]] * FEW + [["b"]] * FEW + [[], None]
    table = pl.DataFrame({"colour": colours, "tags": tags, "sku": map(str, range(12))})
    kinds = {"colour": "category", "tags": "list", "sku": "code"}
    features = Features(table, kinds)
    assert features.names == [
        *("colour: blue", "colour: red", "colour: another", "tags: a", "tags: b", "tags: unknown")
    ]
    values = features(table)
    assert values[[0, 5, 10], :3].tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert (values[[0, 5, 11], 3:] > 0).tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    for part in features.blocks.values():
        assert values[:, part].square().sum(1).mean() == pytest.approx(1)
    stranger = features(pl.DataFrame({"colour": ["mauve"], "tags": [["b", "z"]]}))
    assert (stranger > 0).tolist() == [[0, 0, 1, 0, 1, 0]]
    nobody = features(table.clear(1))
    assert (nobody > 0).tolist() == [[0, 0, 0, 0, 0, 1]]
    assert np.array_equal(Features(table, kinds)(table), values)
