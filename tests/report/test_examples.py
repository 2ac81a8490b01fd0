"""What a run shows, looked at; words of a log stand in its pictures as they are."""

import html

import numpy as np
import pytest
import torch

from lightrec.evaluation.base import Bars, Curve, Intervals, Points, Sides
from lightrec.keys import Key
from lightrec.report import charts, examples


def test_the_plane_is_that_of_the_principal_components():
    vectors = np.random.default_rng(0).normal(size=(40, 6)) * [5, 1, 3, 0.1, 1, 1]
    found = examples.plane(torch.from_numpy(vectors)).numpy()
    centered = vectors - vectors.mean(0)
    u, s, _ = np.linalg.svd(centered, full_matrices=False)
    np.testing.assert_allclose(np.abs(found), np.abs(u[:, :2] * s[:2]), atol=1e-10)
    turned = examples.plane(torch.from_numpy(-vectors)).numpy()
    # Which end of an axis is positive follows from the axis alone.
    np.testing.assert_allclose(turned, -found, atol=1e-10)
    assert examples.plane(torch.ones(3, 1)).shape == (3, 2)


def test_the_reason_is_the_event_without_which_most_places_are_lost():
    titles = [f"item {number}" for number in range(1, 7)]

    def scorer(batch):
        # Item 4 lives on item 1 alone, item 5 on nothing.
        has = (batch[Key.HISTORY] == 1).any(1).float()[:, None]
        return has * torch.tensor([0, 0, 0, 0, 9.0, 0, 0]) + torch.tensor([0, 0, 0, 0, 1, 5, 2.0])

    history = torch.tensor([[0, 1, 2, 3]])
    user = torch.tensor([0])
    batch = {Key.HISTORY: history, Key.SEEN: history, Key.USER: user, Key.END: user}
    found = examples._listed(scorer, batch, lambda users, ends: None, titles, 12)
    assert found == [
        (4, "“item 1”: place 3 without it"),
        (5, "no single event"),
        (6, "no single event"),
    ]
    # An item that may not be shown is not listed, and takes no place.
    fives = torch.tensor([[True] * 5 + [False, True]])
    allowed = lambda users, ends: fives.expand(len(users), -1)  # noqa: E731
    found = examples._listed(scorer, batch, allowed, titles, 12)
    assert found == [(4, "“item 1”: place 2 without it"), (6, "no single event")]


@pytest.mark.parametrize("word", ["$1_000$ or $x_$", "</title></svg><script>alert(1)</script>"])
def test_words_are_neither_formulas_nor_marks(word):
    for chart in (
        Bars({word: 1.0, "_other": 2.0}, word, word),
        Intervals({word: (0.0, -1.0, 1.0)}, word),
        Sides({"real": [1.0], word: [2.0]}, [word], word),
        Curve([0.0], [1.0], (word, ""), word, [word]),
        Points([0.0], [1.0], [0.5], [word], [word], word),
    ):
        picture = charts.svg(chart)
        assert html.unescape(picture).count(word) >= 3
        assert "<script" not in picture
        assert picture.count("</svg>") == 1
