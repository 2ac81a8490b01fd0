import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightrec.nn.best_slate import best_slate
from lightrec.nn.plackett_luce import EMPTY
from tests.learners.rows import NONE


def worth(values, scores, null, slate):
    """The expected value of a slate, in plain Python."""
    strengths = [math.exp(scores[c]) for c in slate]
    total = null + sum(v * values[c] for v, c in zip(strengths, slate, strict=True))
    return total / (1 + sum(strengths))


number = st.floats(-4, 4).map(lambda value: round(value, 3))


@settings(max_examples=80, deadline=None)
@given(
    columns=st.lists(st.tuples(number, number, st.booleans()), min_size=3, max_size=6),
    slate_size=st.integers(1, 3),
    null=number,
)
def test_the_best_of_all_slates(columns, slate_size, null):
    values, scores, out = zip(*columns, strict=True)
    allowed = [c for c in range(len(columns)) if not out[c]]
    if len(allowed) < slate_size:
        return
    slates = itertools.combinations(allowed, slate_size)
    best = max(worth(values, scores, null, slate) for slate in slates)
    action_value, choice_logits = torch.tensor([values, scores], dtype=torch.float64)
    shown = action_value.masked_fill(torch.tensor(out), NONE)
    nothing = torch.tensor([[null]], dtype=torch.float64)
    found = best_slate(shown[None], choice_logits[None], nothing, slate_size)
    assert found.value.item() == pytest.approx(best, rel=1e-9, abs=1e-9)
    slate = found.columns[0].tolist()
    assert worth(values, scores, null, slate) == pytest.approx(best, rel=1e-9, abs=1e-9)
    assert set(found.scores[0].topk(slate_size).indices.tolist()) == set(slate)


def test_empty_places_where_too_little_may_be_shown():
    values = torch.tensor([[NONE, 2.0, NONE], [NONE, NONE, NONE]])
    found = best_slate(values, torch.zeros(2, 3), torch.tensor([[1.0], [0.5]]), 2)
    assert found.columns.tolist() == [[1, EMPTY], [EMPTY, EMPTY]]
    assert found.value.tolist() == [1.5, 0.5]


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
