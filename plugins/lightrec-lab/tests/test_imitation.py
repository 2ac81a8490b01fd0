"""Policies that learn from demonstrations: by no reward at all, or by a discriminator's."""

import pytest
import torch
from lightrec_lab.adversarial import AIRL, GAIL
from lightrec_lab.choice_process import ChoiceProcess, transitions
from lightrec_lab.imitation import DEMONSTRATED, SQIL, law_of
from lightrec_lab.replay import ReplayPolicyModule
from lightrec_worlds.world_data import WorldData, demonstrate
from tensordict import TensorDict

from benchmarks.measure.carts import CartPoleData
from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.learners.on_policy import PolicyModule
from lightrec.learners.playing import REWARD, LearnableReward
from lightrec.learners.transitions import SLATE
from lightrec.nn.slate_law import items_at
from tests.learners.training import fit

POLICY = {"pools": 0, "size": 0, "hidden": [64, 64], "horizon": 1_000_000}
SMALL = {"policy": POLICY | {"hidden": [8]}, "sessions": 4, "steps": 8, "batch_size": 32}


def carts(**settings):
    chosen = {"judging": 4, "iterations": 2, "demonstration_sessions": 4, **settings}
    return CartPoleData(**{"max_steps": 20, **chosen})


def small(kind, reward, data=None, epochs=1, folder=None, checkpoint=None, **settings):
    chosen = SMALL | settings
    module, trainer = fit(
        data or carts(), kind, epochs, folder, checkpoint, reward=reward, **chosen
    )
    module.log = lambda *_, **__: None  # tests take steps outside of the training
    return module, trainer


def test_demonstrations_are_worth_1_and_own_steps_0():
    batch = TensorDict({"next": {"terminated": torch.zeros(2, 1, dtype=torch.bool)}}, [2])
    assert SQIL()(batch).tolist() == [[0.0], [0.0]]
    marked = batch.set(DEMONSTRATED, torch.tensor([[1.0], [0.0]]))
    assert SQIL()(marked).tolist() == [[1.0], [0.0]]
    module, _ = small(ReplayPolicyModule, SQIL(), loss="soft-q", warm_up=0)
    half = module._drawn()["next", "reward"].flatten().tolist()
    assert half == [0.0] * 32 + [1.0] * 32


@pytest.mark.slow
@pytest.mark.parametrize("shown", ["oracle", "random"])
def test_sqil_learns_from_demonstrations_and_not_without(shown):
    data = carts(demonstrations=shown, max_steps=100, demonstration_steps=100, iterations=4)
    settings = {"loss": "soft-q", "warm_up": 0, "sessions": 16, "steps": 25, "updates": 60}
    settings |= {"policy": POLICY, "batch_size": 64, "learning_rate": 5e-3}
    _, trainer = fit(data, ReplayPolicyModule, 1, reward=SQIL(), **settings)
    reached = trainer.callback_metrics["validation/return"]
    assert reached > 95 if shown == "oracle" else reached < 60


@pytest.mark.parametrize("kind", [GAIL, AIRL])
def test_updates_move_each_part_by_its_own_losses(kind):
    module, _ = small(PolicyModule, kind(updates=2, batch_size=16))
    moved, step = [], type(module).update

    def update(losses, which=0):
        before = {n: p.clone() for n, p in module.named_parameters()}
        outcome = step(module, losses, which)
        after = dict(module.named_parameters())
        moved.append({n.split(".")[0] for n, p in before.items() if not p.equal(after[n])})
        return outcome

    module.update = update
    module.training_step(None, 1)
    # Two steps of the reward, then two passes over 4 · 8 rows.
    assert moved == [{"reward"}] * 2 + [{"policy", "critic"}] * 2


def test_cloning_comes_first_and_then_the_reward_alone():
    reward = GAIL(cloning=300, warm_up=1, updates=2)
    module, _ = small(PolicyModule, reward, carts(iterations=1), learning_rate=1e-2)
    reward, shown = module.reward, module.reward.demonstrations
    right = law_of(module, shown.copy()).mode == shown[Key.ACTION]
    assert right.float().mean() > 0.95
    rows = reward.seen(module, shown[:4])
    before = reward.learned(rows)
    module.trainer.fit_loop.epoch_progress.reset()
    for index, learns in ((1, False), (2, True)):
        assert reward.teach(module, module._play(), index) == learns
        # While the policy waits the discriminator is judged as it is, then as an average.
        assert torch.equal(reward.learned(rows), reward.logit(rows)) != learns
        assert not torch.equal(reward.learned(rows), before)


def test_the_policy_is_paid_what_the_reward_says_and_the_reward_is_left_with_it(tmp_path):
    module, _ = small(PolicyModule, GAIL(updates=0))
    played, reward = module._play(), module.reward
    own, batches = played["next", "reward"].clone(), reward.spread[0].item()
    assert batches > 0  # the deviation was followed while the module was trained
    assert reward.teach(module, played, 5)
    assert reward.spread[0].item() == pytest.approx(batches + 1)
    seen = reward.seen(module, played.flatten(), own=True)
    logit, paid = reward.logit(seen), played["next", "reward"].flatten()
    assert not torch.equal(paid, own.flatten())
    torch.testing.assert_close(paid, logit * (paid[0] / logit[0]).detach())
    module.write(tmp_path)
    loaded = LearnableReward.load(tmp_path / REWARD)
    assert torch.equal(loaded.learned(seen), reward.learned(seen))


def test_the_control_is_as_many_random_steps():
    shown, control = (carts(demonstrations=who).demonstrations() for who in ("oracle", "random"))
    assert shown.batch_size == control.batch_size == (400,)
    assert 0.4 < (control[Key.ACTION] == 2).float().mean() < 0.6
    again = carts(demonstrations="random").demonstrations()
    assert torch.equal(control[Key.ACTION], again[Key.ACTION])


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
    with pytest.raises(RecipeError, match=r"CartPoleData has none\. Name who demonstrates"):
        small(ReplayPolicyModule, SQIL(), carts(demonstrations=None), loss="soft-q")


class Choices(WorldData):
    """People who take item 2 whenever it is there, and else nothing, which is item 7."""

    def __init__(self):
        super().__init__("ChoiceProcess", iterations=4, judging=4)

    def make(self, sessions, device="cpu"):
        starts = torch.zeros(1, 3, dtype=torch.int64)
        return ChoiceProcess(6, sessions, starts, offer_size=3, max_steps=10, device=device)

    @property
    def vectors(self):
        return torch.eye(8)[:, 1:]

    def act(self, state, slate_size=1, deterministic=True):
        there = (state[Key.CANDIDATES] == 2).any(1, keepdim=True)
        return state.set(Key.ACTION, torch.where(there, 2, 7))

    def demonstrations(self):
        with torch.random.fork_rng():
            world = self.make(16)
            world.set_seed(0)
            played = demonstrate(world, self, 40)
        chosen = played[Key.ACTION].squeeze(-1)
        offers = played[Key.CANDIDATES][..., :-1]
        return transitions(played[Key.HISTORY][:, 0], offers, chosen, 6).flatten()


def test_choices_are_imitated_and_nothing_is_the_anchor():
    reward = AIRL(0.5, anchor=7, cloning=200, warm_up=1, batch_size=64, hidden=[16])
    settings = {"policy": {"pools": 2, "hidden": [16], "size": 0}, "discount": 0.5}
    settings |= {"sessions": 16, "steps": 20, "batch_size": 64, "passes": 1}
    module, _ = fit(Choices(), PolicyModule, 1, reward=reward, **settings)
    rows = module._play().flatten()
    right = module.trainer.datamodule.act(rows.copy())[Key.ACTION]
    law = law_of(module, rows.copy())
    assert (items_at(law.mode, rows[Key.CANDIDATES]) == right).float().mean() > 0.95
    learned = module.reward.learned(module.reward.seen(module, rows, own=True))
    assert torch.equal(learned == 0, (rows[SLATE] == 7).squeeze(1))
