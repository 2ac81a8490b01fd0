"""The item model of numbered series: which titles follow which, and what that scores."""

from dataclasses import replace

import polars as pl
import pytest
import torch

from lightrec.errors import NotApplicable
from lightrec.ranking.item_models.series import NextInSeries

from .test_item_models import evidence


def of(*titles: str | None):
    users = [[*range(1, len(titles) + 1)]]
    return replace(evidence(users, len(titles)), items=pl.DataFrame({"title": titles}))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Tales 1", "Tales 2"),
        ("Tales", "Tales 2"),
        ("Tales, Vol. 9", "Tales, vol. 10"),
        ("Tales 1: The Beginning", "Tales 2 - Home"),
        ("Tales (Book 3)", "Tales #4"),
        ("1984 Teil 1", "1984 Teil 2 (paperback)"),
    ],
)
def test_numbered_titles_follow_each_other(first, second):
    model = NextInSeries(0.5).fit(of(second, "Tale 2", None, first, "Salt 500", "Heat 2000"))
    assert model.following.tolist() == [0, 0, 0, 0, 1, 0, 0]


def test_the_next_volume_scores_by_its_age_unless_it_was_had():
    model = NextInSeries(0.5).fit(of("Tales 1", "Tales 2", "Tales 3", "Iron 7", "Iron 8"))
    scores = model.scores(torch.tensor([[0, 4, 1, 2], [2, 1, 5, 4]]))
    assert scores.tolist() == [[0, 0, 0, 1.0, 0, 0.25], [0, 0, 0, 0.125, 0, 0]]


@pytest.mark.parametrize("titles", [("A 1", "A 3"), ("A", "B"), (None, "A 2")])
def test_titles_alone_are_no_series(titles):
    with pytest.raises(NotApplicable, match="No series has two items"):
        NextInSeries().fit(of(*titles))
