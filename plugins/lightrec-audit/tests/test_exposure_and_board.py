"""Exposure, its Gini coefficient and distance from merit, by hand; the projector of a run."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_audit.exposure import ProviderExposure, events_of_providers, exposure, gini, spread_of
from tensorboard.plugins.projector.projector_plugin import _read_tensor_tsv_file

from lightrec.run import Run


def test_exposure_and_its_gini_coefficient_by_hand():
    """The closed form of 0, 1, …, n - 1 is (n + 1) / 3n; of one who has all, 1 - 1 / n."""
    numbers = [range(7), [0, 0, 0, 5], [1, 1, 1, 1], [0, 0, 0, 0]]
    coefficients = [gini(np.array(values, float)) for values in numbers]
    assert coefficients == pytest.approx([8 / 21, 0.75, 0, 0])
    lists = torch.tensor([[1, 2, 0], [3, 1, 2]])
    summed = exposure(lists, np.array([0, 1, 0]), 3)
    second, third = 1 / np.log2(3), 0.5
    assert summed.tolist() == pytest.approx([2 + second, second + third, 0])


def test_what_is_misplaced_by_hand():
    """A quarter of the exposure is too much for the first of three, and lacks for the last."""
    seen, merit, new = np.array([[2.0, 1, 1], [1.0, 1, 2], [0, 1, 1]])
    expected = {"reached": 1.0, "newcomers": 0.5, "misplaced": 0.25, "gini": 1 / 6}
    assert spread_of(seen, merit, new.astype(bool)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("names", "providers", "counts"),
    [
        (["b", "a", None, "b"], [1, 0, 2, 1], [3, 7, 4]),
        ([["a", "b"], ["b"], [], None], [0, 1, 2, 3], [2, 3, 4, 5]),
        (None, [0, 1, 2, 3], [2, 3, 4, 5]),
    ],
)
def test_whose_an_item_is(names, providers, counts):
    catalog = pl.DataFrame({"item": range(4)} | ({"seller": names} if names else {}))
    events = np.array([0, 2, 3, 4, 5])
    store = SimpleNamespace(catalog=catalog, num_items=4, popularity=lambda: events)
    parts = events_of_providers(store, "seller")
    assert [part.tolist() for part in parts] == [providers, counts]


def test_the_report(tiny_run):
    metrics = ProviderExposure("kind").evaluate(Run(tiny_run), 0).metrics
    assert metrics["exposure/choices/misplaced"] == 0
    assert 0 < metrics["exposure/policy/misplaced"] <= 1
    assert ProviderExposure("maker").evaluate(Run(tiny_run), 0).metrics == {}


def test_the_projector_has_the_ranker_s_item_vectors_with_titles(tiny_run):
    logs, run = tiny_run / "logs" / "ranker", Run(tiny_run)
    vectors = torch.tensor(_read_tensor_tsv_file(str(logs / "items.tsv")))
    names = pl.read_csv(logs / "metadata.tsv", separator="\t")
    assert names.columns == ["title", "item", "events", "category"]
    assert names["title"].to_list() == run.data.catalog["title"].to_list()
    assert names["events"].to_list() == run.data.popularity()[1:].tolist()
    with torch.no_grad():
        torch.testing.assert_close(vectors, run.ranker.item_vectors()[1:], atol=1e-4, rtol=1e-4)
