"""The benchmark of items added after training: its rule and its arithmetic."""

import pytest
import torch
from lightrec_worlds.world_data import WorldData

from benchmarks.policies import new_items


def test_originals_are_drawn_among_those_shown_often():
    shown = torch.arange(301)
    chosen = new_items.originals(shown, 0)
    assert len(set(chosen)) == 20
    assert chosen == sorted(chosen)
    assert min(chosen) >= 200
    assert new_items.originals(shown, 0) == chosen
    assert new_items.originals(shown, 1) != chosen


def test_exposures_by_hand():
    found = new_items.compared(torch.tensor([0, 10, 20, 40, 5, 30]), [1, 3], "x")
    assert found["x/mean"] == pytest.approx((0.5 + 0.75) / 2)
    assert found["x/standard_error"] == pytest.approx(0.125)
    assert found["x/total"] == pytest.approx(35 / 50)
    assert found["x/shows_of_originals"] == 25


def test_every_show_is_counted_once(monkeypatch):
    monkeypatch.setattr(new_items, "BATCH", 8)
    data = WorldData("Greed", {"ending": "fixed", "max_steps": 5})
    policy = data.make_policy()
    shown, _ = new_items.exposure(policy, data, 16, 0)
    assert shown.sum() == 16 * 5
    assert shown[0] == 0
    # An untrained policy scores all items the same: its best are always the first ones.
    best, _ = new_items.exposure(policy, data, 16, 0, deterministic=True)
    assert (best > 0).sum() <= 5 + 1


def test_the_table_names_what_was_played():
    numbers = {
        f"{words}/{name}": 1.0
        for words in ("varied", "varied-mode", "unheard")
        for name in ("mean", "standard_error", "median", "smallest", "largest", "total")
    }
    cells = {key: {"metrics": numbers} for key in new_items.CELLS}
    lines = new_items.table(cells).splitlines()
    assert len(lines) == 2 + 9
    assert lines[2].startswith("| 0 | drawn | 100,000 | 1.00 |")
    assert lines[5].startswith("| 0 | highest scores | 20,000 | 1.00 |")
