"""Policies that learn from rewards that learn from demonstrations."""

import pytest
import torch

from benchmarks.imitation.cart_pole import CartPoleData
from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.learners.adversarial import AIRL, GAIL
from lightrec.learners.imitation import REWARD, SQIL, LearnableReward
from lightrec.learners.on_policy import PolicyModule
from lightrec.learners.replay import ReplayPolicyModule
from lightrec.learners.transitions import PACKED, SLATE, demonstrate
from lightrec.learners.world_data import WorldData
from lightrec.nn.slate_law import items_at
from lightrec.simulators.choice_process import ChoiceProcess, transitions
from tests.learners.training import FIRST, fit, resumed

POLICY = {"pools": 0, "size": 0, "hidden": [64, 64], "horizon": 1_000_000}
SMALL = {"policy": POLICY | {"hidden": [8]}, "sessions": 4, "steps": 8, "batch_size": 32}
KINDS = {"gail": (PolicyModule, GAIL), "airl": (PolicyModule, AIRL)}


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


@pytest.mark.parametrize("shown", ["oracle", "random"])
def test_sqil_learns_from_demonstrations_and_not_without(shown):
    data = carts(demonstrations=shown, max_steps=100, demonstration_steps=100, iterations=4)
    settings = {"loss": "soft-q", "warm_up": 0, "sessions": 16, "steps": 25, "updates": 60}
    settings |= {"policy": POLICY, "batch_size": 64, "learning_rate": 5e-3}
    _, trainer = fit(data, ReplayPolicyModule, 1, reward=SQIL(), **settings)
    reached = trainer.callback_metrics["validation/return"]
    assert reached > 95 if shown == "oracle" else reached < 60


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


def test_half_of_what_sqil_learns_from_is_demonstrated():
    module, _ = small(ReplayPolicyModule, SQIL(), loss="soft-q", warm_up=0)
    rows = module._drawn()
    assert len(rows) == 2 * 32
    assert rows["next", "reward"].flatten().tolist() == [0.0] * 32 + [1.0] * 32


@pytest.mark.parametrize(
    ("kind", "reward", "settings"),
    [
        (PolicyModule, lambda: AIRL(updates=2, batch_size=16, hidden=[4], cloning=3), {}),
        (ReplayPolicyModule, SQIL, {"loss": "soft-q", "warm_up": 0, "updates": 2}),
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
        (ReplayPolicyModule, {"reward": GAIL(), "n_step": 2}, "n_step is 2, and GAIL rewards"),
    ],
)
def test_what_does_not_go_together_is_refused(kind, settings, message):
    with pytest.raises(RecipeError, match=message):
        kind(2, 2, **settings)


def test_a_reward_that_learns_needs_somebody_who_demonstrates(bandit):
    with pytest.raises(RecipeError, match=r"CartPoleData has none\. Take WorldData and name"):
        small(PolicyModule, GAIL(), carts(demonstrations=None))
    data = WorldData("Greed", demonstrations="oracle", demonstration_sessions=2)
    data.make = lambda sessions, device="cpu": Choices().make(sessions, device)
    with pytest.raises(RecipeError, match="ChoiceProcess has no oracle"):
        data.demonstrations()
