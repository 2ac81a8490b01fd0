"""Policies that learn from demonstrations, by a reward that learns nothing, and who shows them."""

import pytest
import torch
from lightrec_lab.choice_process import ChoiceProcess
from tensordict import TensorDict

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.learners.imitation import DEMONSTRATED, SQIL
from lightrec.learners.on_policy import PolicyModule
from lightrec.learners.replay import ReplayPolicyModule
from lightrec.learners.transitions import PACKED
from lightrec.learners.world_data import WorldData
from tests.learners.carts import POLICY, carts, small
from tests.learners.training import FIRST, fit, resumed


def test_demonstrations_are_worth_1_and_own_steps_0():
    batch = TensorDict({"next": {"terminated": torch.zeros(2, 1, dtype=torch.bool)}}, [2])
    assert SQIL()(batch).tolist() == [[0.0], [0.0]]
    marked = batch.set(DEMONSTRATED, torch.tensor([[1.0], [0.0]]))
    assert SQIL()(marked).tolist() == [[1.0], [0.0]]
    assert SQIL().optimizer() is None


@pytest.mark.parametrize("shown", ["oracle", "random"])
def test_sqil_learns_from_demonstrations_and_not_without(shown):
    data = carts(demonstrations=shown, max_steps=100, demonstration_steps=100, iterations=4)
    settings = {"loss": "soft-q", "warm_up": 0, "sessions": 16, "steps": 25, "updates": 60}
    settings |= {"policy": POLICY, "batch_size": 64, "learning_rate": 5e-3}
    _, trainer = fit(data, ReplayPolicyModule, 1, reward=SQIL(), **settings)
    reached = trainer.callback_metrics["validation/return"]
    assert reached > 95 if shown == "oracle" else reached < 60


def test_half_of_what_sqil_learns_from_is_demonstrated():
    module, _ = small(ReplayPolicyModule, SQIL(), loss="soft-q", warm_up=0)
    rows = module._drawn()
    assert len(rows) == 2 * 32
    assert rows["next", "reward"].flatten().tolist() == [0.0] * 32 + [1.0] * 32


def test_a_resumed_run_goes_on_as_an_unbroken_one(tmp_path):
    settings = {"loss": "soft-q", "warm_up": 0, "updates": 2}
    whole, later = resumed(
        lambda *how: small(ReplayPolicyModule, SQIL(), None, *how, **settings), tmp_path
    )
    loaded = ReplayPolicyModule.load_from_checkpoint(tmp_path / FIRST, weights_only=True)
    assert type(loaded.reward) is type(later.reward)
    assert whole.buffer[:].batch_size == later.buffer[:].batch_size == (2 * 2 * 32,)
    assert torch.equal(whole.buffer[:]["observation"], later.buffer[:]["observation"])


def test_the_control_is_as_many_random_steps():
    shown, control = (carts(demonstrations=who).demonstrations() for who in ("oracle", "random"))
    assert shown.batch_size == control.batch_size == (400,)
    share = (control[Key.ACTION] == 2).float().mean()
    assert 0.4 < share < 0.6
    again = carts(demonstrations="random").demonstrations()
    assert torch.equal(control[Key.ACTION], again[Key.ACTION])
    assert PACKED not in control


def test_a_saved_policy_demonstrates(tmp_path):
    module, _ = small(PolicyModule, None)
    module.policy.save_pretrained(tmp_path)
    data = carts(demonstrations=str(tmp_path))
    rows = data.demonstrations()
    best = module.policy.act(rows.copy())[Key.ACTION]
    assert torch.equal(rows[Key.ACTION], best)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (PolicyModule, {"reward": SQIL()}, "SQIL needs a learner that learns from demonstrations"),
        (ReplayPolicyModule, {"reward": SQIL(), "n_step": 2}, "n_step is 2, and SQIL rewards"),
    ],
)
def test_what_does_not_go_together_is_refused(kind, settings, message):
    with pytest.raises(RecipeError, match=message):
        kind(2, 2, **settings)


def test_a_reward_that_learns_needs_somebody_who_demonstrates():
    with pytest.raises(RecipeError, match=r"CartPoleData has none\. Take WorldData and name"):
        small(ReplayPolicyModule, SQIL(), carts(demonstrations=None), loss="soft-q")
    data = WorldData("Greed", demonstrations="oracle", demonstration_sessions=2)
    starts = torch.zeros(1, 3, dtype=torch.int64)
    data.make = lambda sessions, device="cpu": ChoiceProcess(6, sessions, starts, offer_size=3)
    with pytest.raises(RecipeError, match="ChoiceProcess has no oracle"):
        data.demonstrations()
