"""Which assumptions are varied, and on which scale."""

import shutil

import pytest
import torch
from lightrec_audit.assumptions import FACTORS, Cell, assuming, cells
from lightrec_testing import tiny

from lightrec.keys import PADDING
from lightrec.users.user_model import UserModel


def test_each_assumption_is_halved_and_doubled_on_its_own_scale():
    varying = {cell.name: cell for cell in cells(0.9, 0.05, nothing_is_logged=False)}
    varied = [f"{what}-{n}" for what in ("discount", "nothing", "leaving") for n in FACTORS]
    assert list(varying) == ["as-assumed", "discount-0", *varied]
    # Horizons of 5 and 20 steps instead of 10.
    assert varying["discount-half"].discount == pytest.approx(0.8)
    assert varying["discount-double"].discount == pytest.approx(0.95)
    assert varying["nothing-half"].odds_ratio == 0.5
    assert varying["leaving-double"].leave_rate == pytest.approx(0.1)
    # What the log tells is not assumed.
    fitted = cells(0.9, 0.05, nothing_is_logged=True, leaving_is_fitted=True)
    assert [cell.name for cell in fitted] == [*varying][:4]


def test_all_that_a_reward_reads_is_there_under_other_assumptions(tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run / "users_a", run / "users_a")
    (run / "data").symlink_to(tiny_run / "data")
    users = UserModel.load(run / "users_a")
    model = users.choice
    users = users.replaced(members=[model, model], **tiny.tiny_parts(model))
    changed = assuming(users, Cell("half", "half", 0.5, 0.1, 0.5), run)
    assert len(changed.members) == 2
    history, items = torch.tensor([[PADDING, 1, 2]]), torch.tensor([[3, 4]])
    law, _ = changed.predict(history, items)
    odds = [each[0, -1].exp().logit() for each in (model.log_probabilities(history, items), law)]
    assert torch.allclose(odds[1] - odds[0], torch.tensor(0.5).log(), atol=1e-5)
    for member in changed.members:
        assert torch.allclose(member.log_probabilities(history, items), law)
        assert member.survival_discount == pytest.approx(0.45)
    assert changed.returning is users.returning
