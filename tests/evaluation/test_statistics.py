"""Statistics of sessions, counted by hand."""

import pytest
import torch

from lightrec.evaluation.statistics import SessionStatistics, compare, total_variation


def three_sessions():
    """Sessions of 1, 3 and 40 steps, in which items 1; 2 3 2; and 4 4 are chosen."""
    return SessionStatistics(
        torch.tensor([1, 3, 40]),
        torch.tensor([0, 1, 1, 1, 2, 2]),
        torch.tensor([1, 2, 3, 2, 4, 4]),
        4,
        torch.tensor([-1, 0, 0, 1, 1]),
    )


def test_counted_by_hand():
    found = three_sessions()
    assert found.lengths(40)[[0, 1, 2, 3, 40]].tolist() == pytest.approx(
        [0, 1 / 3, 0, 1 / 3, 1 / 3]
    )
    assert found.popularity().tolist() == pytest.approx([0, 1 / 6, 1 / 3, 1 / 6, 1 / 3])
    assert found.top(50) == pytest.approx(2 / 3)
    assert found.top(1) == pytest.approx(1 / 3)
    assert found.repeats() == pytest.approx(2 / 6)
    # 0 → 1 and 1 → 0 in the second session, 1 → 1 in the third; none across sessions.
    assert found.transitions().tolist() == [
        [0, pytest.approx(1 / 3)],
        [pytest.approx(1 / 3), pytest.approx(1 / 3)],
    ]


def test_the_same_sessions_do_not_differ():
    found = compare(three_sessions(), three_sessions())
    for name in ("length", "popularity", "transitions"):
        assert found[f"{name}/total_variation"] == 0
    assert found["length/real/3-4"] == pytest.approx(1 / 3)
    assert found["length/simulated/33+"] == pytest.approx(1 / 3)
    # The halves are the first and third session, and the second.
    assert found["length/total_variation/real_halves"] == pytest.approx(1)
    assert found["popularity/total_variation/real_halves"] == pytest.approx(1)
    assert found["transitions/same/real"] == pytest.approx(1 / 3)
    assert all(isinstance(value, float) for value in found.values())


def test_without_categories_and_comparable_lengths_these_are_left_out():
    plain = three_sessions()
    plain = SessionStatistics(plain.length, plain.session, plain.item, 4)
    found = compare(plain, plain, lengths=False)
    assert not [key for key in found if key.startswith(("length", "transitions"))]


def test_total_variation():
    left, right = torch.tensor([0.5, 0.5, 0]), torch.tensor([0, 0.25, 0.75])
    assert total_variation(left, right) == 0.75
