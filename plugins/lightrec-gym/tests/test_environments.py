"""Gymnasium's own checker, and equality with what the simulator itself would have done."""

import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from lightrec_gym.environments import as_gymnasium, as_gymnasium_vector, from_gymnasium
from tensordict import TensorDict
from torchrl.data import Bounded, Composite

from lightrec.errors import LightrecError
from lightrec.keys import Key
from lightrec.simulators import noise
from lightrec.simulators.base import Response, Simulator
from lightrec.simulators.session_env import SessionEnv
from lightrec.testing.simulators import TinyWorld

ITEMS, OFFER = TinyWorld.ITEMS, TinyWorld.OFFER


class Shelf(Simulator):
    """Users who take the slate's first item, where there is one."""

    def __init__(self, batch_size, **settings):
        super().__init__(ITEMS, batch_size, history_length=3, max_steps=4, **settings)

    def start(self, rows, session):
        size = len(rows)
        mask = noise.uniform(noise.mix(session, torch.arange(ITEMS + 1))) < 0.7
        history = torch.zeros(size, 3, dtype=torch.int64)
        state = {Key.USER: rows, Key.HISTORY: history, Key.MASK: mask}
        return TensorDict(state, batch_size=[size])

    def respond(self, state, slate):
        first = (slate > 0).int().argmax(1, keepdim=True)
        taken = (torch.arange(slate.shape[1]) == first) & (slate > 0)
        return Response(taken, slate * taken.float(), torch.full((len(slate),), 0.2))


class Dial(SessionEnv):
    """Users whose reward is the number, from -1 to 1, to which a dial is turned."""

    def __init__(self, batch_size):
        super().__init__(batch_size, max_steps=4)
        self.observation_spec = Composite(
            {Key.STEP: self._indices(1, 4), Key.SESSION: self._numbers(1, dtype=torch.int64)},
            shape=self.batch_size,
        )
        self.action_spec = Bounded(-1, 1, (batch_size, 1), dtype=torch.float32)

    def first_state(self, rows, session):
        return TensorDict({Key.STEP: torch.zeros_like(session)}, batch_size=[len(rows)])

    def _step(self, tensordict):
        step = tensordict[Key.STEP] + 1
        ends = {"terminated": step > 4, "truncated": step >= 4, "done": step >= 4}
        state = {Key.STEP: step, Key.SESSION: tensordict[Key.SESSION], **ends}
        return TensorDict({**state, "reward": tensordict[Key.ACTION]}, batch_size=self.batch_size)


MAKERS = {
    "offers": lambda rows: TinyWorld(rows, slate_size=1),
    "slates of offers": lambda rows: TinyWorld(rows, slate_size=2),
    "masks": lambda rows: Shelf(rows),
    "slates under masks": lambda rows: Shelf(rows, slate_size=3),
}


@pytest.fixture(params=MAKERS, ids=str)
def make(request):
    return MAKERS[request.param]


def test_gymnasiums_checker_finds_nothing(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # What it has to say of boxes without bounds, and of a missing registration, is meant so.
        warnings.filterwarnings("ignore", message=".*(infinity|spec).*")
        check_env(as_gymnasium(make(1)), skip_render_check=True)
        check_env(as_gymnasium(Dial(1)), skip_render_check=True)


def test_agents_observe_what_policies_may_see():
    environment = as_gymnasium(TinyWorld(1))
    hidden = {Key.LATENT, Key.TRUE_REWARD, Key.SESSION, Key.USER, Key.MASK}
    observation, info = environment.reset(seed=3)
    assert hidden.isdisjoint(observation)
    assert {Key.HISTORY, Key.CANDIDATES, Key.OBSERVATION, Key.STEP} < set(observation)
    assert list(info) == ["action_mask"]
    vectors = environment.simulator.item_vectors[observation[Key.CANDIDATES]]
    assert np.array_equal(observation["candidate_vectors"], vectors)
    assert environment.observation_space["candidate_vectors"].shape == (OFFER, ITEMS)
    assert environment.action_space == gymnasium.spaces.Discrete(OFFER)
    assert as_gymnasium(Shelf(1, slate_size=3)).action_space.nvec.tolist() == [ITEMS] * 3


def test_a_session_is_a_batch_of_one(make):
    environment, batch = as_gymnasium(make(1)), as_gymnasium_vector(make(1))
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
    environment = as_gymnasium(Shelf(1, slate_size=2))
    _, info = environment.reset(seed=1)
    allowed = info["action_mask"][0]
    bad, good = int(allowed.argmin()), int(allowed.argmax())
    assert environment.step(np.array([bad, good]))[1] == good + 1  # the only one that is shown
    _, info = environment.reset(seed=1)
    _, reward, _, _, after = environment.step(np.array([good, good]))
    assert reward == good + 1
    assert after["action_mask"][0][good] == 0
    assert after["action_mask"][0].sum() == allowed.sum() - 1
    assert environment.step(np.array([good, good]))[1] == 0


def test_a_vector_environment_is_the_simulators_batch(make):
    environment, simulator = as_gymnasium_vector(make(7)), make(7)
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
        if over.any():
            ends += over.sum()
            assert np.array_equal(info["_final_obs"], over)
            last = whole["next", Key.STEP]
            assert np.array_equal(info["final_obs"][Key.STEP][over], last[over])
        else:
            assert "final_obs" not in info
    assert ends > 7


def test_what_is_wrong_is_told():
    with pytest.raises(ValueError, match="one session"):
        as_gymnasium(Shelf(2))
    with pytest.raises(gymnasium.error.ResetNeeded):
        as_gymnasium(Shelf(1)).step(0)
    with pytest.raises(ValueError, match="share one seed"):
        as_gymnasium_vector(Shelf(2)).reset(seed=[1, 2])
    with pytest.raises(LightrecError, match="knows no environment 'Nowhere-v0'"):
        from_gymnasium("Nowhere-v0", 2)


def test_outside_environments_become_batches():
    environment = from_gymnasium("CartPole-v1", 3)
    assert environment.batch_size == (3,)
    environment.set_seed(1)
    steps = environment.rollout(20, break_when_any_done=False)
    assert steps.shape == (3, 20)
    assert steps["next", "reward"].eq(1).all()
    environment.close()


def test_stable_baselines_can_play():
    pytest.importorskip("stable_baselines3", reason="Stable-Baselines3 is not installed")
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_checker import check_env as check

    environment = as_gymnasium(TinyWorld(1))
    check(environment)
    agent = PPO("MultiInputPolicy", environment, n_steps=32, batch_size=32, n_epochs=1).learn(64)
    assert agent.num_timesteps == 64
