"""Learning from what was just played: the best arm, what is left, what returns are made of."""

import pytest
import torch
from tensordict import TensorDict

from lightrec.errors import RecipeError
from lightrec.evaluation.evidence import unfit
from lightrec.keys import Key
from lightrec.learners.on_policy import PolicyModule
from lightrec.ranking.ranker import Ranker
from lightrec.rewards.accepted import EngagementReward, SurplusReward, WeightedSum
from lightrec.simulators.rollout import UserMemory, play
from tests.learners.training import BEST, ON_POLICY, one_a_family, one_arm, policy_data, train

POLICY = {"inverse_temperature": 0.2, "size": 4}
MODULE = {"sessions": 32, "steps": 4, "batch_size": 64}


def data_of(run, policy=None, **settings):
    return policy_data(run, {**POLICY, **(policy or {})}, **settings)


def module_of(data, **settings):
    return PolicyModule(data.num_items, data.vector_size, **{**MODULE, **settings})


def fit(run, epochs, discount=1.0, time_aware=False, **settings):
    data = data_of(run, **settings)
    return train(module_of(data, discount=discount, time_aware=time_aware), data, epochs)


def test_what_takes_no_notice_of_people_is_judged_by_the_same_reward(bandit, tmp_path):
    """A reward that takes a point for each accept pays for what nobody wants: it is unfit."""
    rivals = ("beginning", "random", "popularity")
    found = {}
    for sign in (1.0, -1.0):
        module, _ = fit(bandit, 1, reward=WeightedSum([EngagementReward()], [sign]))
        metrics = module.write(tmp_path)
        found[sign] = [metrics[f"reward/{name}"] for name in rivals]
        assert bool(unfit(metrics)) == (sign < 0)
    assert found[-1.0] == pytest.approx([-value for value in found[1.0]])
    assert found[1.0][0] > found[1.0][1] > 0


def test_the_encoder_is_tuned_where_asked_and_items_stay(bandit):
    module, _ = fit(bandit, 0, policy={"tune": True, "use_utilities": False})
    before = {name: value.clone() for name, value in module.policy.state_dict().items()}
    ranker = Ranker.from_pretrained(str(bandit / "ranker")).eval()
    history = torch.tensor([[0, 1, 2], [3, 4, 5]])
    wanted = 0.2 * (ranker.user_vectors(history) @ ranker.item_vectors().T)
    wanted += 0.2 * ranker.bias
    torch.testing.assert_close(module.policy.scores(history)[:, 1:], wanted[:, 1:])
    tuned, _ = fit(bandit, 1, policy={"tune": True, "use_utilities": False})
    after = tuned.policy.state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    tower = {name for name in moved if name.startswith("ranker.")}
    assert tower
    assert not any(name.startswith("ranker.items.") for name in tower)
    assert "item_vectors" not in moved
    frozen, _ = fit(bandit, 1, policy={"use_utilities": False})
    kept = frozen.policy.state_dict()
    assert all(torch.equal(value, kept[n]) for n, value in before.items() if "ranker" in n)


@pytest.mark.parametrize("loss", one_a_family(ON_POLICY, "ppo", "slate-sarsa"))
def test_every_learner_finds_the_best_arm(bandit, loss):
    data = one_arm(bandit)
    module = module_of(data, loss=loss, sessions=64)
    _, trainer = train(module, data, 2)
    assert trainer.callback_metrics["validation/return"] == pytest.approx(BEST)
    kept = {name.split(".")[0] for name in module.state_dict()}
    assert kept == {"policy", "critic"}


@pytest.mark.parametrize("time_aware", [False, True])
def test_returns_go_on_where_sessions_were_cut_and_stop_where_they_ended(bandit, time_aware):
    """With λ = 1 and a critic that says 2 everywhere, value targets are sums made by hand."""
    data = data_of(bandit, leave_rate=0.2, max_steps=3)
    settings = {"sessions": 64, "steps": 7, "discount": 0.9, "gae_lambda": 1.0}
    module, _ = train(module_of(data, time_aware=time_aware, **settings), data, 0)
    module.ground.continuation_probability = 1.0  # as where leaving was fitted
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


def test_who_left_was_only_cut_where_leaving_is_a_part_of_the_discount(bandit):
    data = data_of(bandit, leave_rate=0.5)
    module, _ = train(module_of(data, time_aware=True, sessions=4, steps=2), data, 0)
    assert module.ground.continuation_probability == 0.5
    following = {
        "done": torch.tensor([[True], [True], [True], [False]]),
        "terminated": torch.tensor([[True], [True], [False], [False]]),
        Key.STEP: torch.tensor([[2], [4], [3], [1]]),
    }
    ended = module._ended(TensorDict(following, [4]))
    # Left before the limit: a cut. Left in the last step, and nothing left to show: ends.
    assert ended.squeeze(1).tolist() == [False, True, True, False]


def test_a_temperature_that_cannot_be_is_refused():
    with pytest.raises(RecipeError, match=r"temperature is \(0.1, 0.0\).*must be positive"):
        PolicyModule(8, 4, temperature=(0.1, 0.0))


def test_expected_surplus_is_the_log_sum(bandit):
    """The mean over outcomes of r - log π is log(1 + exp r) for a user who does not look ahead."""
    data = data_of(bandit, reward=SurplusReward())
    module, _ = train(module_of(data), data, 0)
    ground = module.ground
    sessions, _ = play(module.policy, ground.judging, ground.users, seed=0)
    state = ground.judging.reset()
    state["action"] = torch.full((len(ground.users), 1), 3)
    found = ground.judging.step(state)["next", "reward"]
    expected = torch.nn.functional.softplus(data.user_model.choice.bias[3])
    torch.testing.assert_close(found, expected.expand_as(found))
    assert (sessions.reward > 0).all()


class Shaped(EngagementReward):
    """A reward that would be shaped in training."""

    shaped, judged = True, EngagementReward()

    def bind(self, context):
        self.discount = context.discount


def test_a_policy_learns_from_the_shaped_reward_and_is_judged_by_the_plain_one(bandit):
    reward = Shaped()
    module, _ = fit(bandit, 1, reward=reward, discount=0.9)
    # Sessions end with a chance of .05, which the learner has in its discount.
    assert module.ground.train.reward.discount == pytest.approx(0.9 * 0.95)
    assert module.ground.judging.reward is Shaped.judged
    fixed, _ = fit(bandit, 1, reward=reward, ending="fixed")
    assert fixed.ground.train.reward.discount == 1
    with pytest.raises(RecipeError, match="pays for the potential of the state in which it does"):
        fit(bandit, 1, reward=WeightedSum([reward]), time_aware=True)
