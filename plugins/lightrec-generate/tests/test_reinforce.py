"""What moves a generator by rewards: advantages, gradients, rewards of slates, and whole stages."""

import itertools
import shutil

import polars as pl
import pytest
import torch
from lightrec_generate.generator import Generator
from lightrec_generate.reinforce import ReinforcedData, divergence, leave_one_out
from lightrec_generate.rewards import DiversityReward, GainReward, NoveltyReward
from lightrec_testing.tiny import tiny_store
from tensordict import TensorDict
from torch.distributions import Categorical, kl_divergence

from lightrec.keys import Key
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.rewards.base import RewardContext
from lightrec.run import Run
from lightrec.stages.run import run


def transition(slate, taken=None, **more):
    slate = torch.tensor(slate)
    taken = torch.zeros_like(slate, dtype=torch.bool) if taken is None else torch.tensor(taken)
    columns = {Key.ACTION: slate, Key.TAKEN: taken, **more}
    return TensorDict(columns, batch_size=[len(slate)])


def test_advantages_are_rewards_less_the_mean_of_the_others():
    rewards = torch.tensor([[1.0, 2.0], [0.0, 2.0], [5.0, 2.0]])
    expected = torch.tensor([[1 - 2.5, 0.0], [0 - 3.0, 0.0], [5 - 0.5, 0.0]])
    torch.testing.assert_close(leave_one_out(rewards), expected)


def test_the_divergence_is_that_of_torch():
    torch.manual_seed(0)
    one, other = torch.randn(5, 7), torch.randn(5, 7)
    expected = kl_divergence(Categorical(logits=one), Categorical(logits=other))
    torch.testing.assert_close(divergence(one, other), expected)
    one[:, 2] = other[:, 2] = -torch.inf
    keep = [0, 1, 3, 4, 5, 6]
    expected = kl_divergence(Categorical(logits=one[:, keep]), Categorical(logits=other[:, keep]))
    found = divergence(one.requires_grad_(), other)
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    assert one.grad.isfinite().all()


def test_the_mean_gradient_is_that_of_the_expected_reward():
    """Over all pairs of slates, by their probabilities, as if all had been drawn."""
    logits = torch.tensor([0.3, -0.5, 1.0], dtype=torch.float64, requires_grad=True)
    worth = torch.tensor([1.0, 4.0, 2.0], dtype=torch.float64)
    law = PlackettLuce(logits.unsqueeze(0), slate_size=2)
    slates = torch.tensor([*itertools.permutations(range(3), 2)]).unsqueeze(1)
    chance = law.log_prob(slates).squeeze(1)
    paid = (worth[slates] * torch.tensor([1.0, 0.5], dtype=torch.float64)).sum(-1).squeeze(1)
    (exact,) = torch.autograd.grad((chance.exp() * paid).sum(), logits, retain_graph=True)
    total = torch.zeros_like(logits)
    for pair in itertools.product(range(len(paid)), repeat=2):
        chosen = [*pair]
        drawn = chance[chosen].unsqueeze(1)
        gain = (leave_one_out(paid[chosen].unsqueeze(1)) * drawn).mean()
        (slope,) = torch.autograd.grad(gain, logits, retain_graph=True)
        total += drawn.sum().exp().detach() * slope
    torch.testing.assert_close(total, exact)


def test_gains_are_those_of_the_place_and_the_value():
    shown = transition([[7, 8, 9], [7, 8, 9]], [[False, False, True], [False] * 3])
    assert GainReward()(shown).flatten().tolist() == [pytest.approx(0.5), 0.0]
    shown[Key.VALUE] = torch.tensor([[0.0, 0.0, 2.0], [0.0] * 3])
    assert float(GainReward(least=3.0)(shown)[0]) == pytest.approx(-0.5)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny_store(tmp_path_factory.mktemp("tiny"))


def test_novelty_is_self_information(store):
    reward = NoveltyReward()
    reward.bind(RewardContext(store=store))
    counts = torch.from_numpy(store.popularity()).double()
    a, b = 3, 5
    total = counts[1:].sum().log()
    expected = sum((total - counts[i].log()) / total for i in (a, b)) / 2
    rewards = reward(transition([[a, b, 0], [0, 0, 0]]))
    assert rewards.flatten().tolist() == pytest.approx([float(expected), 0.0], abs=1e-6)


def test_diversity_is_what_pairs_do_not_share():
    genres = [["drama", "war"], ["war"], ["comedy"], None]
    reward = DiversityReward()
    reward.bind(RewardContext(store=object(), items=pl.DataFrame({"genres": genres})))
    rewards = reward(transition([[1, 2, 3], [1, 2, 0], [1, 4, 0], [1, 0, 0]])).flatten()
    assert rewards.tolist() == pytest.approx([1 - 0.5 / 3, 0.5, 1.0, 0.0])


def test_nothing_seen_is_drawn(store):
    data = ReinforcedData(str(store.folder), "", "", slate_size=5, batch_size=16, batches=2)
    for batch in data.train_dataloader():
        law = PlackettLuce(torch.zeros(16, data.num_items + 1), data.may_be_shown(batch), 5)
        slates = law.sample((50,))
        assert not (slates.unsqueeze(-1) == batch[Key.SEEN].unsqueeze(1)).any()
        assert (slates > 0).all()
        paid = data.paid(batch, slates)
        places = (slates == batch[Key.TARGET].unsqueeze(1)).float()
        expected = (places / torch.arange(2, 7).log2()).sum(-1)
        torch.testing.assert_close(paid, expected)


@pytest.mark.slow
def test_a_stage_reaches_what_it_is_paid_for(trained, tmp_path):
    folder, arguments = shutil.copytree(trained[0], tmp_path / "run"), trained[1]
    reward = (
        "{class_path: WeightedSum, init_args: {parts: [GainReward, {class_path: DiversityReward, "
        "init_args: {attribute: kind}}], weights: [0.5, 1.0]}}"
    )
    data = {"batches": 40, "batch_size": 32, "slate_size": 3, "reward": reward}
    words = [f"--data.init_args.{name}={value}" for name, value in data.items()]
    words += ["--trainer.max_epochs=3", "--model.init_args.anchor=0.0"]

    def reinforced(*more):
        overrides = {**arguments["overrides"], "reinforced": [*words, *more]}
        settings = {**arguments, "overrides": overrides, "until": "reinforced"}
        return Run(run("generator-alone", out=folder, **settings))

    reached = reinforced("--model.init_args.learning_rate=0.003").metrics("reinforced")
    assert reached["validation/reward"] > reached["validation/reward_at_first"] + 0.1
    # One that reaches no more is left as it was.
    few = "--trainer.max_epochs=1", "--data.init_args.batches=2"
    done = reinforced("--model.init_args.learning_rate=0.0", *few)
    names = "generator", "reinforced"
    before, after = (Generator.load(done.folder(name)).state_dict() for name in names)
    assert all(torch.equal(before[name], after[name]) for name in before)
