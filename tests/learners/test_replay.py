"""Policies learned from a replay buffer: they find the best arm, and resume with their buffer."""

import pytest
import torch
from tensordict import TensorDict

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.learners.algorithms import REPLAY
from lightrec.learners.on_policy import PolicyModule
from lightrec.learners.policy_data import PolicyData
from lightrec.learners.replay import ReplayPolicyModule
from lightrec.learners.world_data import WorldData
from lightrec.policies.base import session_start
from lightrec.rewards.accepted import EngagementReward
from lightrec.simulators.rollout import UserMemory
from tests.learners.arms import BEST, ArmsData
from tests.learners.training import FIRST, fit, resumed

SMALL = {
    "sessions": 16, "steps": 4, "updates": 2, "batch_size": 32, "warm_up": 64, "capacity": 500,
}  # fmt: skip
WORLD = {"num_items": 20, "offer_size": 5, "time_budget": 6, "max_steps": 6}
SINGLE = ("dqn", "double-dqn", "soft-q", "sac", "mpo")


def bandit_data(run, **settings):
    folders = (str(run / name) for name in ("data", "ranker", "users_a"))
    own = {"reward": EngagementReward(), "max_steps": 1, "held_out": 8, "iterations": 6}
    return PolicyData(*folders, **{**own, **settings})


@pytest.mark.parametrize("loss", [*SINGLE, "slate-q"])
def test_every_learner_finds_the_best_arm(loss):
    _, trainer = fit(
        ArmsData(),
        ReplayPolicyModule,
        2,
        loss=loss,
        policy={"size": 0, "hidden": [8]},
        loss_settings={"bound": 1.0, "policy_bound": 0.5} if loss == "mpo" else None,
        **SMALL | {"sessions": 32, "updates": 8, "batch_size": 64, "capacity": 2000},
        learning_rate=0.02,
        tau=0.1,
        exploration=(1.0, 0.3),
    )
    assert trainer.callback_metrics["validation/return"] == pytest.approx(BEST)


@pytest.mark.parametrize("loss", [*SINGLE, "slate-q"])
def test_a_resumed_run_goes_on_as_an_unbroken_one(loss, tmp_path):
    data = WorldData("LongTermSatisfaction", dict(WORLD), iterations=3, judging=4)
    settings = {"loss": loss, "policy": {"pools": 1, "size": 2, "hidden": [8]}, **SMALL}
    whole, later = resumed(lambda *how: fit(data, ReplayPolicyModule, *how, **settings), tmp_path)
    assert len(whole.buffer) == len(later.buffer) == 2 * 3 * 64
    for name, value in whole.learner.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, later.learner.state_dict()[name]), name


def test_weights_are_held_once_and_a_checkpoint_suffices(tmp_path):
    data = WorldData("LongTermSatisfaction", dict(WORLD), iterations=2, judging=4)
    settings = {"loss": "sac", "policy": {"size": 2, "hidden": [8]}, **SMALL}
    module, _ = fit(data, ReplayPolicyModule, 1, tmp_path, **settings)
    parts = {name.split(".")[0] for name in module.state_dict()}
    assert parts == {"policy", "critic", "others"}
    loaded = ReplayPolicyModule.load_from_checkpoint(tmp_path / FIRST, weights_only=True)
    history = torch.tensor([[0, 1, 2], [3, 4, 5]])
    assert torch.equal(
        loaded.policy.scores(session_start(history)), module.policy.scores(session_start(history))
    )


def test_a_limit_that_ends_the_task_is_an_end():
    data = WorldData("Greed", {"max_steps": 3}, iterations=1, judging=4)
    module, _ = fit(data, ReplayPolicyModule, 1, time_aware=True, **SMALL | {"steps": 8})
    following = module.buffer[:]["next"]
    assert (following["done"] & (following["step"] == 3)).any()
    assert torch.equal(following["terminated"], following["done"])
    plain, _ = fit(data, ReplayPolicyModule, 1, **SMALL | {"steps": 8})
    following = plain.buffer[:]["next"]
    assert (following["done"] & ~following["terminated"]).any()


def test_who_left_was_only_cut_where_leaving_is_a_part_of_the_discount(bandit):
    data = bandit_data(bandit, leave_rate=0.5, max_steps=4, ending="leave")
    module, _ = fit(data, PolicyModule, 0, time_aware=True, sessions=4, steps=2)
    assert module.ground.continuation_probability == 0.5
    following = {
        "done": torch.tensor([[True], [True], [True], [False]]),
        "terminated": torch.tensor([[True], [True], [False], [False]]),
        Key.STEP: torch.tensor([[2], [4], [3], [1]]),
    }
    ended = module._ended(TensorDict(following, [4]))
    # Left before the limit: a cut. Left in the last step, and nothing left to show: ends.
    assert ended.squeeze(1).tolist() == [False, True, True, False]


def test_transitions_are_what_was_played(bandit):
    """Masks of the next state, columns accepted, and ends are those of the simulator."""
    data = WorldData("Greed", {"slate_size": 2, "max_steps": 5}, iterations=1, judging=4)
    settings = {"loss": "slate-q", "policy": {"size": 2, "hidden": [8]}}
    module, _ = fit(data, ReplayPolicyModule, 1, **settings, **SMALL | {"steps": 8})
    torch.manual_seed(3)
    world = module.ground.train
    module._state = world.reset()
    module._memory = UserMemory(module.policy.user_vectors)
    real = world.step_and_maybe_reset
    seen = []

    def record(state):
        played, after = real(state)
        seen.append(played.clone())
        return played, after

    world.step_and_maybe_reset = record
    rows = module._transitions(module._play())
    whole = module._whole(rows.clone())
    played = torch.stack(seen, 1).flatten()
    following = played["next"]
    assert torch.equal(whole["next", Key.MASK], following[Key.MASK])
    assert torch.equal(whole["next", "terminated"], following["terminated"])
    assert torch.equal(whole["next", "reward"], following["reward"])
    assert following["truncated"].any()
    clicked = (played[Key.ACTION] * following[Key.TAKEN]).sum(1)
    column = whole["clicked_column"].squeeze(1)
    assert torch.equal(column.clamp_min(0), clicked)
    assert torch.equal(column == -1, clicked == 0)
    assert torch.equal(whole["next", Key.OBSERVATION], following[Key.OBSERVATION])


@pytest.mark.parametrize("loss", SINGLE)
def test_slates_are_refused_where_single_items_are_valued(loss):
    data = WorldData("Greed", {"slate_size": 2}, iterations=1, judging=4)
    with pytest.raises(RecipeError, match=r"values single items, and the slates have 2 places"):
        fit(data, ReplayPolicyModule, 1, loss=loss, **SMALL)
    assert set(REPLAY) == {*SINGLE, "slate-q"}


def test_unknown_settings_are_told():
    data = WorldData("Greed", iterations=1, judging=4)
    with pytest.raises(RecipeError, match=r"DQN cannot be built with loss_settings \{'x': 1\}"):
        fit(data, ReplayPolicyModule, 1, loss_settings={"x": 1}, **SMALL)
    with pytest.raises(RecipeError, match=r"no setting 'hiden'\. Did you mean 'hidden'\?"):
        fit(data, ReplayPolicyModule, 1, policy={"hiden": [3]}, **SMALL)
    with pytest.raises(RecipeError, match=r"Greed has no setting 'seeed'\. Did you mean 'seed'\?"):
        WorldData("Greed", {"seeed": 1}).num_items  # noqa: B018


@pytest.mark.parametrize("loss", ["ppo", "a2c", "reinforce", "reinforce-top-k", "slate-sarsa"])
def test_every_on_policy_loss_finds_the_best_arm(loss):
    module, trainer = fit(
        ArmsData(iterations=8),
        PolicyModule,
        2,
        loss=loss,
        policy={"size": 0, "hidden": [8]},
        sessions=64,
        steps=4,
        batch_size=64,
        history_iterations=3 if loss == "reinforce-top-k" else 1,
    )
    assert trainer.callback_metrics["validation/return"] == pytest.approx(BEST)
    kept = {name.split(".")[0] for name in module.state_dict()}
    assert kept == {"policy", "critic", *(["others"] if loss == "reinforce-top-k" else [])}


@pytest.mark.parametrize("time_aware", [False, True])
def test_returns_go_on_where_sessions_were_cut_and_stop_where_they_ended(time_aware):
    """With λ = 1 and a critic that says 2 everywhere, value targets are sums made by hand."""
    data = WorldData("Greed", {"max_steps": 3}, iterations=1, judging=4)
    settings = {"sessions": 64, "steps": 7, "discount": 0.9, "gae_lambda": 1.0}
    module, _ = fit(data, PolicyModule, 0, time_aware=time_aware, **settings)
    torch.nn.init.zeros_(module.critic[-1].weight)
    torch.nn.init.constant_(module.critic[-1].bias, 2.0)
    torch.manual_seed(0)
    module._state = module.ground.train.reset()
    module._memory = UserMemory(module.policy.user_vectors)
    rollout = module._estimate(module._play())
    done, ended = (rollout["next", name].squeeze(-1) for name in ("done", "terminated"))
    assert (done & ended).any()
    assert (done & ~ended).any()
    if time_aware:
        ended = done
    reward = rollout["next", "reward"]
    wanted = torch.full_like(reward.squeeze(-1), 2.0)
    later = torch.full((64,), 2.0)
    for step in reversed(range(7)):
        later = torch.where(done[:, step], torch.where(ended[:, step], 0.0, 2.0), later)
        later = reward[:, step, 0] + 0.9 * later
        wanted[:, step] = later
    torch.testing.assert_close(rollout["value_target"].squeeze(-1), wanted)


def test_old_steps_need_a_correction(bandit):
    with pytest.raises(RecipeError, match=r"history_iterations is 2, and ppo learns from"):
        PolicyModule(8, 4, history_iterations=2)
