"""Policies that learn from rewards by a discriminator of demonstrations."""

import pytest
import torch
from lightrec_lab.adversarial import AIRL, GAIL
from lightrec_lab.choice_process import ChoiceProcess, transitions

from lightrec.keys import Key
from lightrec.learners.imitation import REWARD, LearnableReward
from lightrec.learners.on_policy import PolicyModule
from lightrec.learners.replay import ReplayPolicyModule
from lightrec.learners.transitions import SLATE, demonstrate
from lightrec.learners.world_data import WorldData
from lightrec.nn.slate_law import items_at
from tests.learners.carts import carts, small
from tests.learners.training import FIRST, fit, resumed

KINDS = {"gail": (PolicyModule, GAIL), "airl": (PolicyModule, AIRL)}


@pytest.mark.parametrize("name", KINDS)
def test_updates_move_each_part_by_its_own_losses(name):
    kind, reward = KINDS[name]
    module, _ = small(kind, reward(updates=2, batch_size=16))
    moved = []
    step = type(module)._update

    def update(losses, which=0):
        before = {n: p.clone() for n, p in module.named_parameters()}
        outcome = step(module, losses, which)
        after = dict(module.named_parameters())
        moved.append({n.split(".")[0] for n, p in before.items() if not p.equal(after[n])})
        return outcome

    module._update = update
    module.training_step(None, 1)
    # Two steps of the reward, then two passes over 4 · 8 rows.
    assert moved == [{"reward"}] * 2 + [{"policy", "critic"}] * 2


def test_cloning_comes_first_and_then_the_reward_alone():
    reward = GAIL(cloning=300, warm_up=1, updates=2)
    module, _ = small(PolicyModule, reward, carts(iterations=1), learning_rate=1e-2)
    shown = module.demonstrations
    right = module._law(shown.copy()).mode == shown[Key.ACTION]
    assert right.float().mean() > 0.95
    reward, rows = module.reward, module._for_reward(shown[:4])
    before = reward.learned(rows)
    module.trainer.fit_loop.epoch_progress.reset()
    for index, learns in ((1, False), (2, True)):
        assert module._imitate(module._play(), index) == learns
        # While the policy waits the discriminator is judged as it is, then as an average.
        assert torch.equal(reward.learned(rows), reward.logit(rows)) != learns
        assert not torch.equal(reward.learned(rows), before)


@pytest.mark.parametrize("kind", [PolicyModule, ReplayPolicyModule])
def test_the_policy_is_paid_what_the_reward_says(kind):
    module, _ = small(kind, GAIL(updates=0))
    played = module._play()
    own = played["next", "reward"].clone()
    batches = module.reward.spread[0].item()
    assert batches > 0  # the deviation was followed while the module was trained
    assert module._imitate(played, 5)
    assert module.reward.spread[0].item() == pytest.approx(batches + 1)
    logit = module.reward.logit(module._for_reward(played.flatten(), own=True))
    said = played["next", "reward"].flatten()
    assert not torch.equal(said, own.flatten())
    torch.testing.assert_close(said, logit * (said[0] / logit[0]).detach())


@pytest.mark.parametrize(
    ("kind", "reward", "settings"),
    [
        (PolicyModule, lambda: AIRL(updates=2, batch_size=16, hidden=[4], cloning=3), {}),
        (ReplayPolicyModule, lambda: GAIL(updates=2, batch_size=16), {"loss": "dqn"}),
    ],
)
def test_a_resumed_run_goes_on_as_an_unbroken_one(kind, reward, settings, tmp_path):
    whole, later = resumed(lambda *how: small(kind, reward(), None, *how, **settings), tmp_path)
    loaded = kind.load_from_checkpoint(tmp_path / FIRST, weights_only=True)
    assert type(loaded.reward) is type(later.reward)
    if kind is ReplayPolicyModule:
        assert whole.buffer[:].batch_size == later.buffer[:].batch_size == (2 * 2 * 32,)
        assert torch.equal(whole.buffer[:]["observation"], later.buffer[:]["observation"])


def test_the_reward_is_left_with_the_policy(tmp_path):
    module, _ = small(PolicyModule, AIRL(updates=1))
    module.write(tmp_path)
    rows = module._for_reward(module.demonstrations[:5])
    found = LearnableReward.load(tmp_path / REWARD).learned(rows)
    assert torch.equal(found, module.reward.learned(rows))


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
    module, _ = fit(
        Choices(),
        PolicyModule,
        1,
        reward=reward,
        **settings,
        sessions=16,
        steps=20,
        batch_size=64,
        passes=1,
    )
    rows = module._play().flatten()
    right = module.trainer.datamodule.act(rows.copy())[Key.ACTION]
    law = module._law(rows.copy())
    assert (items_at(law.mode, rows[Key.CANDIDATES]) == right).float().mean() > 0.95
    learned = module.reward.learned(module._for_reward(rows, own=True))
    assert torch.equal(learned == 0, (rows[SLATE] == 7).squeeze(1))
