import shutil

import numpy as np
import polars
import pytest
import torch
from safetensors.torch import save_file
from tensordict import TensorDict

from lightrec.data.store import VALIDATION, EventStore
from lightrec.errors import RecipeError
from lightrec.rewards.accepted import LearnedReward
from lightrec.rewards.base import RewardContext
from lightrec.users.assessment import choice_auc
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import PooledChoice, RecurrentChoice
from lightrec.users.halves import in_half
from lightrec.users.irl import MaxEnt, mean
from lightrec.users.module import ChoiceModule, bootstrap_times
from lightrec.users.user_model import UserModel
from tests.learners.training import fit
from tests.users.stores import prepared

ITEMS = 30


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """60 users who like one of two kinds of items, in a log without sets."""
    root = tmp_path_factory.mktemp("choice")
    generator = np.random.default_rng(0)
    liked = [generator.permutation(ITEMS // 2)[:12] * 2 + user % 2 for user in range(60)]
    events = polars.DataFrame(
        {
            "user": np.repeat(np.arange(60), 12),
            "item": np.concatenate(liked),
            "time": np.tile(np.arange(12), 60),
        }
    )
    store = prepared(events, root / "data")
    kind = torch.tensor([0.0, *[float(int(name) % 2) for name in store.catalog["item"]]])
    (root / "ranker").mkdir()
    save_file(
        {"vectors": kind.unsqueeze(1), "bias": torch.zeros(ITEMS + 1)},
        root / "ranker" / "items.safetensors",
    )
    return root


def data_of(folders, **settings):
    settings = {"half": "a", "candidates": 6, "batch_size": 64, "history_length": 5, **settings}
    return ChoiceData(str(folders / "data"), ranker=str(folders / "ranker"), **settings)


def train(folders, epochs=5, **settings):
    torch.manual_seed(0)
    return fit(data_of(folders), ChoiceModule, epochs, **{"history_length": 5, **settings})[0]


@pytest.mark.parametrize("model", [PooledChoice, RecurrentChoice])
def test_taste_is_learned_and_written(folders, tmp_path, model):
    module = train(folders, model=model)
    metrics = module.write(tmp_path)
    # Whoever knows the kind chooses among a half of the set.
    assert metrics["log_likelihood"] > metrics["popularity"] + 0.2
    assert metrics["other_half/log_likelihood"] > metrics["other_half/popularity"] + 0.2
    assert 0 <= metrics["calibration_error"] < 0.1
    assert metrics["temperature"] == float(UserModel.load(tmp_path).choice.temperature)
    assert 0 < metrics["future_share"] < 1
    choice = UserModel.load(tmp_path).choice
    assert not choice.records_nothing
    assert choice.survival_discount == pytest.approx(0.9 * 0.95)
    history = torch.tensor([[0, 0, 0, 1, 3]])
    items = torch.arange(1, ITEMS + 1).unsqueeze(0)
    assert torch.equal(choice.reward(history, items), module.choice.reward(history, items))
    assert choice.reward(history, items).isfinite().all()


def test_all_members_are_written(folders, tmp_path):
    module = train(folders, model=[PooledChoice, RecurrentChoice], members=3)
    metrics = module.write(tmp_path)
    # By Jensen's inequality the mean law is no worse than the members are on average, and the
    # first alone cannot be far from them.
    assert metrics["ensemble/log_likelihood"] > metrics["log_likelihood"] - 0.05
    assert metrics["ensemble/disagreement"] > 0
    users = UserModel.load(tmp_path)
    assert [type(m) for m in users.members] == [PooledChoice, RecurrentChoice, PooledChoice]
    history, items = torch.tensor([[0, 0, 0, 1, 3]]), torch.tensor([[5, 6, 7]])
    each = torch.stack([m.log_probabilities(history, items).exp() for m in users.members])
    found = users.predict(history, items)[0].exp()
    torch.testing.assert_close(found, each.mean(0))
    assert torch.equal(users.choice.bias, module.choice.bias)


def test_a_learner_is_trained_next_to_the_choices_and_gives_the_reward(folders, tmp_path):
    module = train(folders, epochs=3, learner=MaxEnt(), model=RecurrentChoice)
    alone = train(folders, epochs=3, model=RecurrentChoice)
    for name, value in alone.choice.named_parameters():
        torch.testing.assert_close(dict(module.choice.named_parameters())[name], value)
    # Whoever knows the kind puts what was chosen before half of the others, and ties with the rest.
    metrics = module.write(tmp_path)
    assert metrics["auc"] > 0.65
    history, items = torch.tensor([[0, 0, 0, 1, 3]]), torch.tensor([[5, 6, 7]])
    users = UserModel.load(tmp_path)
    found = users.reward(history, items)
    assert torch.equal(found, module.learner.reward_model().reward(history, items))
    assert not torch.equal(found, users.choice.reward(history, items))
    state = {"history": history, "action": items, "taken": items == 6}
    reward = LearnedReward()
    reward.bind(RewardContext(users))
    assert torch.equal(reward(TensorDict(state, [1])), found[:, 1:2])
    module.trainer.save_checkpoint(tmp_path / "model.ckpt")
    again = ChoiceModule.load_from_checkpoint(tmp_path / "model.ckpt", weights_only=True)
    assert isinstance(again.learner, MaxEnt)
    assert torch.equal(again.learner.reward_model().reward(history, items), found)


class Ranks(torch.nn.Module):
    """Rewards that are a function of the slot: in logs without sets the first is the choice."""

    def __init__(self, rewards):
        super().__init__()
        self.rewards = torch.nn.Parameter(torch.tensor(rewards))

    def reward(self, history, items, user=None):
        return self.rewards.expand(len(items), -1)


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ([9.0, 1, 2, 3, 4, 5], 1.0),
        ([0.0, 1, 2, 3, 4, 5], 0.0),
        ([1.0, 1, 1, 1, 1, 1], 0.5),
        ([3.0, 1, 2, 3, 4, 5], 0.5),
    ],
)
def test_auc_of_choices_by_hand(folders, rewards, expected):
    found = choice_auc(Ranks(rewards), data_of(folders), VALIDATION, "a")
    assert found == pytest.approx(expected)


def test_different_lengths_are_refused(folders):
    with pytest.raises(RecipeError, match="history_length must be the same in both"):
        train(folders, history_length=7)


def test_vectors_and_popularity_of_a_half_know_nothing_of_the_other(folders, tmp_path):
    def of(folder, half):
        data = ChoiceData(str(folder), half=half, cooccurrence_size=4)
        return data.vectors, data.popularity

    of_half = in_half(np.arange(60), "b", 0)
    store = EventStore(folders / "data")
    turned = shutil.copytree(folders / "data", tmp_path / "data")
    # All that half A chose becomes something else.
    items = np.where(
        of_half[store.users_of(np.arange(len(store)))], store.items, 1 + store.items % ITEMS
    )
    np.save(turned / "items.npy", items.astype(np.int32))
    for before, after in zip(of(folders / "data", "b"), of(turned, "b"), strict=True):
        assert (np.asarray(before) == np.asarray(after)).all()
    vectors, _ = of(turned, "a")
    assert not torch.equal(vectors, of(folders / "data", "a")[0])
    # Users of a kind choose items of that kind only, and the vectors tell the kinds apart.
    kind = np.array([int(name) % 2 for name in store.catalog["item"]], bool)
    near = of(folders / "data", "b")[0][1:]
    likeness = near @ near.T
    assert likeness[kind][:, kind].mean() > 0 > likeness[kind][:, ~kind].mean()


def test_members_learn_from_bootstrap_samples_of_the_users(folders):
    data = data_of(folders, half="all")
    times = torch.stack([bootstrap_times(data, number) for number in range(3)])
    assert torch.equal(times[0], bootstrap_times(data, 0))
    assert not torch.equal(times[0], times[1])
    assert times.mean() == pytest.approx(1, abs=0.25)
    batch = next(iter(data.train_dataloader()))
    # A user who is in no sample teaches nothing; one who is in twice, twice as much.
    assert mean(torch.ones_like(batch["weight"]), batch, 2.0) == 2
    trained = train(folders, epochs=1, members=2, bootstrap=True)
    assert trained.times.tolist() == times[:2].tolist()
    assert not any(name.endswith("times") for name in trained.state_dict())
