import pytest
import torch
from scipy.stats import spearmanr

from lightrec.data.store import CONTEXT, TEST, TRAIN
from lightrec.keys import Key
from lightrec.policies.baselines import RandomPolicy
from lightrec.simulators.rollout import play
from lightrec.simulators.world import Scored
from lightrec.simulators.worlds.far import Far, UserState
from lightrec.simulators.worlds.far_log import FarLog
from tests.users.stores import prepared


@pytest.fixture(scope="module")
def world():
    return FarLog(1, fit_users=128, fit_steps=1000)


def test_people_look_ahead_as_the_world_says(world):
    walk = world.walk(500)
    nothing = (walk.choices[:, world.UNLOGGED :] == world.ITEMS + 1).float().mean()
    assert 0.08 < nothing < 0.16
    held_out = world.held_out(500)
    rows = zip(held_out.value, held_out.reward, strict=True)
    orders = [spearmanr(*row).statistic for row in rows]
    assert 0.83 < sum(orders) / len(orders) < 0.9


def test_reward_by_hand(world):
    state = UserState(torch.eye(16)[:1], torch.arange(20.0).unsqueeze(0) / 10)
    category = world.category[6]
    expected = (
        4 * world.vectors[6, 0]
        + world.quality[6]
        - world.fatigue[category] * state.exposure[0, category]
        + (world.after_effect * state.exposure[0]).sum()
        - 2.2
    )
    assert world.reward(state, torch.tensor([[7]])).item() == pytest.approx(expected.item(), 1e-5)


def test_advance_moves_taste_and_exposure(world):
    state = world.new_users(3, torch.Generator().manual_seed(0))
    state = UserState(state.taste, torch.ones(3, 20))
    chosen = torch.tensor([1, 2, world.ITEMS + 1])
    moved = world.advance(state, chosen, torch.Generator().manual_seed(0))
    assert moved.exposure[0, world.category[0]].item() == pytest.approx(1.9)
    assert moved.exposure[2].allclose(torch.full((20,), 0.9))
    assert moved.taste.norm(dim=1).allclose(torch.ones(3))


def test_log_becomes_a_store(world, tmp_path):
    log, catalog = world.log(50)
    walk = world.walk(50)
    assert len(log) == 50 * 40
    row = log.events.row(25, named=True)
    assert row["candidates"] == [f"item-{i:04d}" for i in walk.offers[0, 25].tolist()]
    assert log.events.row(19, named=True)["candidates"] == []
    chosen = walk.choices[0, 25].item()
    assert row["item"] == (None if chosen > world.ITEMS else f"item-{chosen:04d}")
    assert log.events["item"].null_count() == (walk.choices > world.ITEMS).sum()
    store = prepared(log, tmp_path / "store", catalog=catalog)
    assert store.has_nothing
    assert [len(store.events(part)) for part in (TRAIN, TEST, CONTEXT)] == [900, 50, 1000]
    held_out = world.held_out(30)
    renumbered = held_out.reindex(store.catalog["item"].to_list())
    rows = {name: row for row, name in enumerate(store.catalog["item"], 1)}
    numbers = [rows.get(f"item-{item:04d}", 0) for item in held_out.candidates.flatten().tolist()]
    assert renumbered.candidates.flatten().tolist() == numbers
    nothing = held_out.history == world.ITEMS + 1
    assert (renumbered.history[nothing] == store.num_items + 1).all()


def test_a_slate_of_one_is_taken_with_the_probability_of_its_advantage(world):
    """p = 1 / (1 + exp(Q* of nothing - Q* of the item)), and the reward is the user's own."""
    far = Far(4000, laws=world)
    far.set_seed(1)
    state = far.reset()
    state[Key.ACTION] = slate = state[Key.CANDIDATES][:, 7:8]
    values = world.action_values(far.user(state), slate)
    chance = (values[:, 0] - values[:, 1]).sigmoid()
    following = far.step(state)["next"]
    accepted = following[Key.ACCEPTED].squeeze(1)
    spread = (chance * (1 - chance)).sum().sqrt()
    assert abs(accepted.sum() - chance.sum()) < 4 * spread
    reward = world.reward(far.user(state), slate) * following[Key.ACCEPTED]
    torch.testing.assert_close(following[Key.TRUE_REWARD], reward)
    remembered = torch.where(accepted > 0, slate.squeeze(1), world.ITEMS + 1)
    assert torch.equal(following[Key.HISTORY][:, -1], remembered)


def test_users_foresight_beats_what_they_like_now(world):
    far = Far(300, laws=world)
    ways, users = (Scored(far.oracle), Scored(far.greedy), RandomPolicy(2000)), torch.arange(300)
    oracle, greedy, chance = (play(way, far, users, 0)[0].reward.mean() for way in ways)
    assert oracle > greedy + 5
    assert greedy > chance + 10
