import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightrec.nn.best_slate import best_slate, slate_value
from lightrec.nn.plackett_luce import EMPTY
from tests.learners.losses.rows import NONE


def worth(values, scores, null, slate, offsets):
    """The expected value of a slate, in plain Python."""
    strengths = [math.exp(scores[c] + offsets[k]) for k, c in enumerate(slate)]
    total = null + sum(v * values[c] for v, c in zip(strengths, slate, strict=True))
    return total / (1 + sum(strengths))


number = st.floats(-4, 4).map(lambda value: round(value, 3))


@settings(max_examples=80, deadline=None)
@given(
    columns=st.lists(st.tuples(number, number, st.booleans()), min_size=3, max_size=6),
    offsets=st.lists(number, min_size=1, max_size=3),
    null=number,
    places_differ=st.booleans(),
)
def test_the_best_of_all_slates(columns, offsets, null, places_differ):
    values, scores, out = zip(*columns, strict=True)
    slate_size = len(offsets)
    allowed = [c for c in range(len(columns)) if not out[c]]
    if len(allowed) < slate_size:
        return
    offsets = offsets if places_differ else [0.0] * slate_size
    best = max(
        worth(values, scores, null, slate, offsets)
        for slate in itertools.permutations(allowed, slate_size)
    )
    action_value, choice_logits = torch.tensor([values, scores], dtype=torch.float64)
    found = best_slate(
        action_value.masked_fill(torch.tensor(out), NONE)[None],
        choice_logits[None],
        torch.tensor([[null]], dtype=torch.float64),
        slate_size,
        torch.tensor(offsets, dtype=torch.float64) if places_differ else None,
    )
    assert found.value.item() == pytest.approx(best, rel=1e-9, abs=1e-9)
    slate = found.columns[0].tolist()
    assert worth(values, scores, null, slate, offsets) == pytest.approx(best, rel=1e-9, abs=1e-9)
    assert set(found.scores[0].topk(slate_size).indices.tolist()) == set(slate)


def test_scores_are_strengths_times_what_a_value_exceeds_the_slate_by():
    values, scores = torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[-1.0, 0.0, -2.0]])
    found = best_slate(values, scores, torch.zeros(1, 1), 2)
    weights = scores.exp()
    total = 1 + weights[0, found.columns[0]].sum()
    torch.testing.assert_close(found.scores, weights * (values - found.value) / total)
    # At the fixed point what the slate exceeds its value by makes up for what nothing lacks.
    surplus = (found.scores[0, found.columns[0]] * total).sum()
    assert surplus.item() == pytest.approx(found.value.item(), rel=1e-6)


def test_scores_of_slates_of_one_are_their_values():
    values, scores = torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[-1.0, 0.0, -2.0]])
    found = best_slate(values, scores, torch.tensor([[0.5]]), 1)
    expected = [worth(values[0].tolist(), scores[0].tolist(), 0.5, [c], [0.0]) for c in range(3)]
    assert found.scores[0].tolist() == pytest.approx(expected)


def test_cheaper_way_is_worse_where_items_take_choices_from_each_other():
    values = torch.tensor([[10.0, 4.0, 0.5]])
    scores = torch.tensor([[0.0, 0.0, -5.0]])
    null = torch.zeros(1, 1)
    exact = best_slate(values, scores, null, 2)
    cheap = best_slate(values, scores, null, 2, method="top_k")
    assert exact.columns.tolist() == [[0, 2]]  # the second item would only take from the first
    assert cheap.columns.tolist() == [[0, 1]]
    torch.testing.assert_close(cheap.scores, scores.exp() * values / 3)
    assert cheap.value.item() == pytest.approx((10 + 4) / 3)
    assert exact.value.item() == pytest.approx((10 + 0.5 * math.exp(-5)) / (2 + math.exp(-5)))
    for slate in (exact, cheap):
        found = slate_value(values, scores, null, slate.columns)
        torch.testing.assert_close(found, slate.value)


def test_empty_places_where_too_little_may_be_shown():
    values = torch.tensor([[NONE, 2.0, NONE], [NONE, NONE, NONE]])
    found = best_slate(values, torch.zeros(2, 3), torch.tensor([[1.0], [0.5]]), 2)
    assert found.columns.tolist() == [[1, EMPTY], [EMPTY, EMPTY]]
    assert found.value.tolist() == [1.5, 0.5]


def test_choice_logits_exclude_too():
    logits = torch.tensor([[0.0, NONE, 0.0]])
    found = best_slate(torch.tensor([[1.0, 9.0, 2.0]]), logits, torch.zeros(1, 1), 1)
    assert found.columns.tolist() == [[2]]


@pytest.mark.parametrize("level", [-300.0, 300.0])
def test_large_logits_do_not_overflow(level):
    values = torch.tensor([[1.0, 2.0, 3.0]])
    found = best_slate(values, torch.full((1, 3), level), torch.full((1, 1), -1.0), 2)
    assert found.value.item() == pytest.approx(2.5 if level > 0 else -1.0)
    found = best_slate(values, torch.tensor([[level, 0.0, 0.0]]), torch.full((1, 1), -1.0), 1)
    assert found.scores.isfinite().all()


def test_what_may_not_be_shown_sets_no_scale():
    values, logits = torch.tensor([[NONE, 1.0, 2.0, 0.5]]), torch.tensor([[300.0, 0.0, 0.5, -0.2]])
    found = best_slate(values, logits, torch.zeros(1, 1), 2)
    alone = best_slate(values[:, 1:], logits[:, 1:], torch.zeros(1, 1), 2)
    torch.testing.assert_close(found.scores[:, 1:], alone.scores)
    assert found.value.item() == pytest.approx(alone.value.item())


def test_larger_offsets_go_to_larger_scores():
    values, scores = torch.tensor([[3.0, 1.0, 2.0]]), torch.zeros(1, 3)
    found = best_slate(values, scores, torch.zeros(1, 1), 2, torch.tensor([0.0, 1.0]))
    assert found.columns.tolist() == [[2, 0]]


def test_slate_size_out_of_range():
    with pytest.raises(ValueError, match="between 1 and 3"):
        best_slate(torch.zeros(1, 3), torch.zeros(1, 3), torch.zeros(1, 1), 4)
