"""Which assumptions are varied, and on which scale."""

import json
import shutil

import pytest
import torch
from lightrec_audit import assumptions
from lightrec_audit.assumptions import Cell, assuming, cells

from lightrec.keys import PADDING
from lightrec.stages.run import run
from lightrec.testing import tiny
from lightrec.users.user_model import UserModel


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


def test_all_that_a_reward_reads_is_there_under_other_assumptions(tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run / "users_a", run / "users_a")
    (run / "data").symlink_to(tiny_run / "data")
    users = UserModel.load(run / "users_a")
    model = users.choice
    users = users.replaced(members=[model, model], **tiny.tiny_parts(model))
    found = assuming(users, Cell("half", "half", 0.5, 0.1, 0.5), run)
    assert len(found.members) == 2
    history, items = torch.tensor([[PADDING, 1, 2]]), torch.tensor([[3, 4]])
    law, _ = found.predict(history, items)
    odds = [each[0, -1].exp().logit() for each in (model.log_probabilities(history, items), law)]
    assert torch.allclose(odds[1] - odds[0], torch.tensor(0.5).log(), atol=1e-5)
    for member in found.members:
        assert torch.allclose(member.log_probabilities(history, items), law)
        assert member.survival_discount == pytest.approx(0.45)
    assert found.leaving is users.leaving
    assert found.returning is users.returning


@pytest.mark.slow
def test_stopped_within_an_assumption_it_goes_on(
    tiny_run, lightrec_tiny_files, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    shutil.copytree(tiny_run, out)
    # As a log with values leaves it.
    users = UserModel.load(out / "users_a")
    users.replaced(valuing=tiny.tiny_parts(users.choice)["valuing"]).save_pretrained(
        out / "users_a"
    )
    log, items = lightrec_tiny_files
    few = ["--policy=[--trainer.fast_dev_run=1]", "--max_users=5", "--max_steps=3"]

    def go() -> None:
        run(
            "generic",
            out=out,
            log=log,
            items=items,
            until="assumptions",
            overrides={**tiny.FAST, "assumptions": few},
        )

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(assumptions, "train", stop)
        with pytest.raises(KeyboardInterrupt):
            go()
    assert UserModel.load(out / ".work/assumptions/as-assumed/users_a").valuing is not None
    # One cell is enough to see that it is made.
    made = assumptions.cells
    monkeypatch.setattr(assumptions, "cells", lambda *given: [*made(*given)][:1])
    go()
    metrics = json.loads((out / "assumptions/metrics.json").read_text())
    assert metrics["sensitivity/as-assumed/policy/accepted"] > 0
    page = (out / "assumptions/report.html").read_text()
    assert "<td>as assumed</td>" in page
    assert (out / "metrics.json").read_bytes() == (tiny_run / "metrics.json").read_bytes()
