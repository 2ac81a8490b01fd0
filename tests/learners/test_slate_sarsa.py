"""SlateQ on policy: only what was shown is looked at, under a law that grows sharper."""

import pytest
import torch

from lightrec.errors import RecipeError
from lightrec.learners.on_policy import PolicyModule
from lightrec.learners.transitions import CLICKED_COLUMN, slates_alone
from lightrec.policies.slate import SlatePolicy
from tests.learners.training import fit, policy_data

SMALL = {"loss": "slate-sarsa", "critic_hidden": (8,), "sessions": 16, "steps": 4, "batch_size": 32}


def test_losses_are_those_of_a_look_at_all_that_was_offered(bandit):
    module, _ = fit(policy_data(bandit, slate_size=2), PolicyModule, 1, **SMALL)
    module._state = module.ground.train.reset()
    rows = module._estimate(module._play()).exclude("next").flatten()
    assert (rows[CLICKED_COLUMN] >= 0).any()
    alone = module.learner.losses(slates_alone(rows))
    among_all = module.learner.losses(module.with_masks(rows))
    for name, value in among_all.items():
        torch.testing.assert_close(alone[name], value)


def test_the_law_grows_sharper_and_is_kept(bandit, tmp_path, monkeypatch):
    seen, play = [], PolicyModule._play

    def played(module):
        seen.append(module.policy.temperature.item())
        return play(module)

    monkeypatch.setattr(PolicyModule, "_play", played)
    data = policy_data(bandit, slate_size=2)
    module, _ = fit(data, PolicyModule, 3, **SMALL, temperature=(0.8, 0.2))
    assert seen == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.2, 0.2])
    module.policy.save_pretrained(tmp_path)
    assert SlatePolicy.from_pretrained(tmp_path).temperature.item() == pytest.approx(0.2)


def test_a_tuned_encoder_is_refused(bandit):
    data = policy_data(bandit, max_steps=2)
    with pytest.raises(RecipeError, match=r"tune is true.*Set it to false"):
        fit(data, PolicyModule, 1, loss="slate-sarsa", policy={"tune": True})
