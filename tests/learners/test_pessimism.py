"""What holds a policy back: the law that it began with, and a third user model that judges."""

from functools import partial

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from lightrec.learners.on_policy import PolicyModule
from lightrec.learners.policy_data import PolicyData
from lightrec.learners.policy_stage import divergence
from lightrec.policies.base import session_start
from lightrec.policies.candidate import CandidatePolicy
from lightrec.rewards.accepted import EngagementReward
from lightrec.users.choice_model import PooledChoice
from lightrec.users.user_model import UserModel
from tests.learners.conftest import CHANCES
from tests.learners.training import fit

POLICY = {"inverse_temperature": 0.2, "size": 4}


def data(bandit, **settings):
    folders = [str(bandit / name) for name in ("data", "ranker", "users_a")]
    own = {"max_steps": 4, "held_out": 8, "iterations": 4, "reward": EngagementReward()}
    return PolicyData(*folders, **own | {"policy": partial(CandidatePolicy, **POLICY)} | settings)


def learned(data, anchor, **settings):
    how = {"sessions": 64, "steps": 4, "batch_size": 64, "learning_rate": 0.02, **settings}
    module, trainer = fit(data, PolicyModule, 4, anchor=anchor, **how)
    return module, trainer.callback_metrics


def test_the_divergence_is_that_of_torch():
    torch.manual_seed(0)
    own, other = torch.randn(5, 7), torch.randn(5, 7)
    known = kl_divergence(Categorical(logits=own), Categorical(logits=other))
    torch.testing.assert_close(divergence(own, other), known)
    own[:, 2] = other[:, 2] = -torch.inf
    keep = [0, 1, 3, 4, 5, 6]
    known = kl_divergence(Categorical(logits=own[:, keep]), Categorical(logits=other[:, keep]))
    found = divergence(own.requires_grad_(), other)
    torch.testing.assert_close(found, known)
    found.sum().backward()
    assert own.grad.isfinite().all()


@pytest.mark.slow
def test_an_anchored_policy_moves_less_the_heavier_its_anchor(bandit):
    moved = []
    for anchor in (0.0, 3.0, 100.0):
        own = data(bandit)
        module, _ = learned(own, anchor)
        state = session_start(torch.tensor([[0, 0, 1], [1, 2, 3]]))
        with torch.no_grad():
            laws = [p.columns(state).logits for p in (module.policy, module._beginning)]
        moved.append(float(divergence(*laws).mean()))
    assert moved[0] > 2 * moved[1] > 0
    assert moved[2] < 0.02


def test_a_third_user_model_judges_epochs(bandit):
    model = PooledChoice(len(CHANCES), 1, 4, records_nothing=False)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    model.bias.data[1:] = -20.0  # who accepts nothing at all
    UserModel([model]).save_pretrained(bandit / "users_c")
    _, harsh = learned(data(bandit, users_c=str(bandit / "users_c")), 0.0)
    assert float(harsh["validation/return"]) == pytest.approx(0, abs=1e-3)
    _, own = learned(data(bandit), 0.0)
    assert float(own["validation/return"]) > 1
