"""Gymnasium's own checker, and equality with what the simulator itself would have done."""

import warnings
from functools import partial
from itertools import pairwise

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from lightrec_gym.environments import SimulatorEnv, SimulatorVectorEnv, from_gymnasium
from tensordict import TensorDict
from torchrl.data import Bounded, Composite

from lightrec.errors import LightrecError
from lightrec.keys import Key
from lightrec.simulators.session_env import SessionEnv
from lightrec.simulators.user_model import UserModelSimulator
from lightrec.testing import parametrize_checks, plugin_checks, tiny
from lightrec.testing.simulators import TinyWorld

ITEMS, OFFER = TinyWorld.ITEMS, TinyWorld.OFFER


@parametrize_checks(plugin_checks("lightrec-gym"))
def test_contract(check):
    check()


def of_users(rows, **settings):
    """Users of a model, to whom nothing is shown again: what may be shown stands in a mask."""
    users, starts = tiny.tiny_user_model(), tiny.tiny_starts()
    return UserModelSimulator(users, starts, rows, max_steps=4, **settings)


class Dial(SessionEnv):
    """Users whose reward is the number, from -1 to 1, to which a dial is turned."""

    def __init__(self, batch_size):
        super().__init__(batch_size, max_steps=4)
        numbers = {Key.STEP: self._indices(1, 4), Key.SESSION: self._numbers(1, dtype=torch.int64)}
        self.observation_spec = Composite(numbers, shape=self.batch_size)
        self.action_spec = Bounded(-1, 1, (batch_size, 1), dtype=torch.float32)

    def first_state(self, rows, session):
        return TensorDict({Key.STEP: torch.zeros_like(session)}, batch_size=[len(rows)])

    def _step(self, tensordict):
        state = tensordict.select(Key.STEP, Key.SESSION).clone()
        state[Key.STEP] += 1
        state["truncated"] = state["done"] = state[Key.STEP] >= 4
        state["terminated"], state["reward"] = state["done"] & False, tensordict[Key.ACTION]
        return state


MAKERS = {
    "offers": partial(TinyWorld, slate_size=1),
    "slates of offers": partial(TinyWorld, slate_size=2),
    "masks": of_users,
    "slates under masks": partial(of_users, slate_size=3),
}


@pytest.fixture(params=MAKERS, ids=str)
def make(request):
    return MAKERS[request.param]


def test_gymnasiums_checker_finds_nothing(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # What it has to say of boxes without bounds, and of a missing registration, is meant so.
        warnings.filterwarnings("ignore", message=".*(infinity|spec).*")
        for simulator in (make(1), Dial(1)):
            check_env(SimulatorEnv(simulator), skip_render_check=True)


def test_agents_observe_what_policies_may_see():
    environment = SimulatorEnv(world := TinyWorld(1))
    hidden = {Key.LATENT, Key.TRUE_REWARD, Key.SESSION, Key.USER, Key.MASK}
    observation, info = environment.reset(seed=3)
    assert hidden.isdisjoint(observation)
    assert info["action_mask"].shape == (OFFER,)
    vectors = world.item_vectors[observation[Key.CANDIDATES]]
    assert np.array_equal(observation["candidate_vectors"], vectors)
    assert environment.observation_space["candidate_vectors"].shape == (OFFER, ITEMS)
    assert environment.action_space == gymnasium.spaces.Discrete(OFFER)
    assert SimulatorEnv(of_users(1, slate_size=3)).action_space.nvec.tolist() == [ITEMS] * 3


def test_a_session_is_a_batch_of_one(make):
    environment, batch = SimulatorEnv(make(1)), SimulatorVectorEnv(make(1))
    (_, info), _ = environment.reset(seed=5), batch.reset(seed=5)
    environment.action_space.seed(0)
    over = False
    while not over:
        action = environment.action_space.sample(info["action_mask"])
        seen, reward, ended, cut, info = environment.step(action)
        many, *found, infos = batch.step(np.asarray(action)[None])
        assert [reward, ended, cut] == [part[0] for part in found]
        over = ended or cut
        many = infos["final_obs"] if over else many
        assert all(np.array_equal(seen[name], many[name][0]) for name in seen)


def test_what_may_not_be_shown_leaves_its_place_empty():
    environment = SimulatorEnv(of_users(1, slate_size=2, ending="fixed"))
    _, info = environment.reset(seed=1)
    masks = [info["action_mask"][0]]
    first, second, *_ = np.flatnonzero(masks[0])
    for slate in ([first, first], [first, second], [first, second]):
        *_, info = environment.step(np.array(slate))
        masks.append(info["action_mask"][0])
    left = [np.flatnonzero(before != after).tolist() for before, after in pairwise(masks)]
    assert left == [[first], [second], []], "what was shown, of a slate, cannot be shown again"


def test_a_vector_environment_is_the_simulators_batch(make):
    environment, simulator = SimulatorVectorEnv(make(7)), make(7)
    simulator.set_seed(5)
    observation, info = environment.reset(seed=5)
    state = simulator.reset()
    environment.action_space.seed(0)
    environment.single_action_space.seed(0)
    ends = 0
    for _ in range(12):
        assert observation in environment.observation_space
        masks = info["action_mask"]
        if masks.ndim == 2:
            actions = environment.action_space.sample(tuple(masks))
        else:  # a batch of MultiDiscrete is a Box to Gymnasium, which takes no masks
            single = environment.single_action_space
            actions = np.stack([single.sample(tuple(mask)) for mask in masks])
        places = torch.from_numpy(actions).view(7, -1)
        offered = state.get(Key.CANDIDATES, None)
        slate = places + 1 if offered is None else offered.gather(1, places)
        for place in range(1, slate.shape[1]):
            again = (slate[:, :place] == slate[:, place, None]).any(1)
            slate[:, place] = slate[:, place] * ~again
        whole, state = simulator.step_and_maybe_reset(state.set(Key.ACTION, slate))
        observation, reward, ended, cut, info = environment.step(actions)
        over = whole["next", "done"][:, 0].numpy()
        assert np.array_equal(reward, whole["next", "reward"][:, 0])
        assert np.array_equal(ended | cut, over)
        assert np.array_equal(observation[Key.HISTORY], state[Key.HISTORY])
        assert over.any() == ("final_obs" in info)
        if over.any():
            ends += over.sum()
            assert np.array_equal(info["_final_obs"], over)
            last = whole["next", Key.STEP]
            assert np.array_equal(info["final_obs"][Key.STEP][over], last[over])
    assert ends > 7


def test_what_is_wrong_is_told():
    with pytest.raises(ValueError, match="one session"):
        SimulatorEnv(of_users(2))
    with pytest.raises(gymnasium.error.ResetNeeded):
        SimulatorEnv(of_users(1)).step(0)
    with pytest.raises(ValueError, match="share one seed"):
        SimulatorVectorEnv(of_users(2)).reset(seed=[1, 2])
    with pytest.raises(LightrecError, match="knows no environment 'Nowhere-v0'"):
        from_gymnasium("Nowhere-v0", 2)


def test_outside_environments_become_batches():
    environment = from_gymnasium("CartPole-v1", 3)
    environment.set_seed(1)
    steps = environment.rollout(20, break_when_any_done=False)
    assert steps.shape == (3, 20)
    assert steps["next", "reward"].eq(1).all()
    environment.close()
