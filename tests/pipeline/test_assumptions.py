"""Which assumptions are varied, and on which scale."""

import shutil

import pytest
import torch

from lightrec.keys import PADDING
from lightrec.nn.choice import ChoiceModel
from lightrec.nn.ensemble import Ensemble, load_user_model
from lightrec.pipeline.assumptions import Cell, cells, write_reward
from lightrec.testing import tiny


def test_each_assumption_is_halved_and_doubled_on_its_own_scale():
    found = {cell.name: cell for cell in cells(0.9, 0.05, nothing_is_logged=False)}
    assert list(found) == [
        "as-assumed",
        "discount-0",
        "discount-half",
        "discount-double",
        "nothing-half",
        "nothing-double",
        "leaving-half",
        "leaving-double",
    ]
    # Horizons of 5 and 20 steps instead of 10.
    assert found["discount-half"].discount == pytest.approx(0.8)
    assert found["discount-double"].discount == pytest.approx(0.95)
    assert found["nothing-half"].odds_ratio == 0.5
    assert found["leaving-double"].leave_rate == pytest.approx(0.1)


def test_what_the_log_tells_is_not_assumed():
    names = [cell.name for cell in cells(0.9, 0.0, nothing_is_logged=True)]
    assert names == ["as-assumed", "discount-0", "discount-half", "discount-double"]
    fitted = cells(0.9, 0.05, nothing_is_logged=True, leaving_is_fitted=True)
    assert [cell.name for cell in fitted] == names


def test_no_horizon_is_shorter_than_one_step():
    found = {cell.name: cell for cell in cells(0.2, 0.05, nothing_is_logged=True)}
    assert found["discount-half"].discount == 0


def test_all_that_a_reward_reads_is_there_under_other_assumptions(tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run / "reward", run / "reward")
    (run / "data").symlink_to(tiny_run / "data")
    model = ChoiceModel.load(run / "reward")
    Ensemble([model, model]).save_pretrained(run / "reward")
    for name, part in tiny.tiny_endings(model).items():
        part.save_pretrained(run / "reward" / name)
    cell = Cell("half", "half", 0.5, 0.1, 0.5)
    found = write_reward(model, cell, run, tmp_path / "cell")
    written = load_user_model(tmp_path / "cell")
    assert len(written.models) == 2
    history, items = torch.tensor([[PADDING, 1, 2]]), torch.tensor([[3, 4]])
    odds = [m.log_probabilities(history, items)[0, -1].exp().logit() for m in (model, found)]
    assert torch.allclose(odds[1] - odds[0], torch.tensor(0.5).log(), atol=1e-5)
    for member in written.models:
        assert torch.allclose(
            member.log_probabilities(history, items), found.log_probabilities(history, items)
        )
        assert member.survival_discount == pytest.approx(0.45)
    assert {path.name for path in (tmp_path / "cell").iterdir()} >= {"leaving", "return"}
