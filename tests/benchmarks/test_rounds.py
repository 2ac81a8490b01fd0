"""The benchmark of changing tastes: its own arithmetic."""

import polars as pl
import pytest
import torch

from benchmarks import rounds, rounds_run
from lightrec.data.files import save_tensors
from lightrec.keys import Column

REWARDS = {"update": 9.0, "anew": 10.0, "never": 6.0, "popularity": 3.0, "oracle": 15.0}


@pytest.fixture
def cells(tmp_path):
    """A seed in which every visit of an arm earns the same, and learning costs 2 and 40 seconds."""
    (tmp_path / "before").mkdir()
    names = [f"item-{number:04}" for number in range(1, 101)] * 2 + ["item-0300"]
    pl.DataFrame({Column.ITEM: names}).write_parquet(tmp_path / "before" / "log.parquet")
    found = {}
    for arm, reward in REWARDS.items():
        (tmp_path / arm).mkdir()
        costs = {"update": 2.0, "anew": 40.0}
        for turn in range(1, rounds_run.ROUNDS + 1):
            shown = torch.zeros(1001)
            shown[51:151] = 3  # half of them are among the 100 that were taken most
            earned = torch.zeros(rounds_run.PEOPLE)
            earned[turn : turn + rounds_run.COMING] = reward if turn > 1 else 7.0
            cost = torch.tensor(costs.get(arm, 0.0) if turn > 1 else 0.0)
            values = {"reward": earned, "shown": shown, "cpu_seconds": cost}
            save_tensors(values, tmp_path / arm / f"round-{turn}.safetensors")
        # All rounds are there, so that nothing is played.
        metrics = rounds_run.go(arm, tmp_path, 3, 0.1)
        found[f"drift-{rounds.DRIFTS[0]}/seed-3/{arm}"] = {"metrics": metrics}
    judged = rounds_run.judged(tmp_path, 3, 0.1)
    return found | {f"drift-{rounds.DRIFTS[0]}/seed-3/judged": {"metrics": judged}}


def test_rewards_are_of_a_visit_and_of_the_rounds_after_the_first(cells):
    metrics = cells[f"drift-{rounds.DRIFTS[0]}/seed-3/judged"]["metrics"]
    for arm, reward in REWARDS.items():
        assert metrics[f"{arm}/reward"] == pytest.approx(reward)
        assert metrics[f"{arm}/round-1/reward"] == pytest.approx(7)
        assert metrics[f"{arm}/coverage"] == pytest.approx(0.1)
        assert metrics[f"{arm}/popular"] == pytest.approx(0.5)
    assert metrics["never/regret"] == pytest.approx(9)
    assert metrics["update-of-anew"] == pytest.approx(0.9)
    assert metrics["update-minus-never"] == pytest.approx(3)
    assert metrics["update-minus-never/low"] < 3 < metrics["update-minus-never/high"]


def test_tables_say_what_an_update_reaches_and_costs(cells):
    assert "| 3 | 0.900 (0.900 to 0.900) | 3.000 (" in rounds.compared(cells)
    assert rounds.compared(cells).splitlines()[-1].endswith("| 0.050 |")
    row = "| `lightrec update` | 9.00 | 6.00 | 10.0% | 50.0% | 2.0 |"
    assert row in rounds.table(cells)
