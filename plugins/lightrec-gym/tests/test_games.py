"""Gymnasium's games as sessions: equal to Gymnasium stepped by hand, cut told apart from ended."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from lightrec_gym.games import DiscreteGymnasium
from torchrl.envs.utils import check_env_specs

from lightrec.errors import LightrecError, RecipeError
from lightrec.keys import Key
from lightrec.policies.baselines import RandomPolicy
from lightrec.simulators.rollout import play

ACTIONS = torch.tensor([[1, 0, 0, 1, 1, 0, 1, 0, 0, 1], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]])


class Bell(gymnasium.Env):
    """Rings, and cuts a game, where action 5 is taken; action 6 ends and cuts it at once."""

    observation_space = spaces.Discrete(3)
    action_space = spaces.Discrete(3, start=4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return int(action) - 4, float(action), action == 6, action >= 5, {}


@pytest.fixture(scope="module", autouse=True)
def _registered():
    gymnasium.register("Bell-v0", Bell)
    yield
    del gymnasium.registry["Bell-v0"]


def test_specs():
    check_env_specs(DiscreteGymnasium("CartPole-v1", 3))


def test_games_are_those_of_gymnasium_stepped_by_hand():
    world = DiscreteGymnasium("CartPole-v1", 2, scale=[2.0, 1.0, 0.5, 1.0])
    world.set_seed(0)
    state = world.reset()
    others = [gymnasium.make("CartPole-v1") for _ in range(2)]
    seeds = [int(s) & (2**63 - 1) for s in state[Key.SESSION]]
    seen = [other.reset(seed=seed)[0] for other, seed in zip(others, seeds, strict=True)]
    fallen, steps = False, 0
    for actions in ACTIONS.T:
        expected = np.stack(seen) / np.array([2.0, 1.0, 0.5, 1.0])
        assert np.array_equal(state[Key.OBSERVATION].numpy(), expected.astype(np.float32))
        after = world.step(state.set(Key.ACTION, actions.unsqueeze(1) + 1))["next"]
        for row, other in enumerate(others):
            if row == 1 and fallen:
                assert after["reward"][1] == 0  # it lies where it fell
                continue
            seen[row], reward, ended, cut, _ = other.step(int(actions[row]))
            steps += 1
            told = [float(after["reward"][row])]
            told += [bool(after[name][row]) for name in ("terminated", "truncated")]
            assert told == [reward, ended, cut]
        fallen = bool(after["terminated"][1])
        state = after.exclude("reward")
    assert fallen
    assert not after["done"][0]
    assert world.environment_steps == steps


def test_the_limit_cuts_what_still_stands():
    """A pole that is balanced for 20 steps is cut there; one that falls before has ended."""
    world = DiscreteGymnasium("CartPole-v1", 2, settings={"max_episode_steps": 20})
    assert world.max_steps == 20
    state, over = world.reset(), {}
    for step in range(1, 21):
        _, _, angle, spin = state[Key.OBSERVATION][0]
        action = torch.stack([(angle + 0.5 * spin > 0).long(), torch.tensor(1)])
        state = world.step(state.set(Key.ACTION, action.unsqueeze(1) + 1))["next"]
        for row in range(2):
            if state["done"][row] and row not in over:
                over[row] = (step, bool(state["terminated"][row]), bool(state["truncated"][row]))
        state = state.exclude("reward")
    assert over[0] == (20, False, True)
    assert over[1][0] < 12
    assert over[1][1:] == (True, False)


def test_last_observations_stand_before_those_of_a_reset():
    world = DiscreteGymnasium("CartPole-v1", 1, settings={"max_episode_steps": 3})
    state, last = world.reset(), None
    while last is None or not last["truncated"]:
        whole, state = world.step_and_maybe_reset(state.set(Key.ACTION, torch.ones(1, 1).long()))
        last = whole["next"]
    assert (int(last[Key.STEP]), int(state[Key.STEP])) == (3, 0)
    assert last[Key.OBSERVATION][0, 1] < -0.3  # three pushes to the left
    assert state[Key.OBSERVATION].abs().max() <= 0.05
    assert not state["done"]


def test_an_environment_may_cut_by_itself():
    world = DiscreteGymnasium("Bell-v0", 3, settings={"max_episode_steps": 9})
    state = world.reset()
    assert state[Key.OBSERVATION].tolist() == [[1, 0, 0]] * 3  # numbers become a place each
    after = world.step(state.set(Key.ACTION, torch.tensor([[1], [2], [3]])))["next"]
    assert after["reward"].squeeze(1).tolist() == [4, 5, 6]
    assert after["terminated"].squeeze(1).tolist() == [False, False, True]
    assert after["truncated"].squeeze(1).tolist() == [False, True, False]
    assert after["done"].squeeze(1).tolist() == [False, True, True]
    assert after[Key.OBSERVATION].argmax(1).tolist() == [0, 1, 2]


def test_judging_is_under_chance_that_follows_from_the_seed():
    world, policy = DiscreteGymnasium("CartPole-v1", 5), RandomPolicy(2)
    lengths = []
    for seed in (1, 1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            before = world.environment_steps
            sessions, shown = play(policy, world, torch.arange(5), seed, deterministic=False)
        assert torch.equal(sessions.reward, sessions.length)
        assert world.environment_steps - before == int(sessions.length.sum())
        assert shown.tolist() == [False, True, True]
        lengths.append(sessions.length)
    assert torch.equal(lengths[0], lengths[1])
    assert not torch.equal(lengths[0], lengths[2])


def test_what_is_no_game_of_items_is_refused():
    with pytest.raises(LightrecError, match="knows no environment 'CartPole-v77'"):
        DiscreteGymnasium("CartPole-v77", 1)
    with pytest.raises(RecipeError, match=r"which are no items"):
        DiscreteGymnasium("Pendulum-v1", 1)
    with pytest.raises(RecipeError, match="give max_episode_steps"):
        DiscreteGymnasium("Bell-v0", 1)
    with pytest.raises(RecipeError, match="give 4 positive numbers"):
        DiscreteGymnasium("CartPole-v1", 1, scale=[1.0, 2.0])
    world = DiscreteGymnasium("CartPole-v1", 2)
    first = world.reset()
    with pytest.raises(ValueError, match="action is missing"):
        world.step(first.clone().set(Key.ACTION, torch.tensor([[1], [0]])))
    world.step(first.clone().set(Key.ACTION, torch.ones(2, 1).long()))
    with pytest.raises(ValueError, match="not the one in which its game stands"):
        world.step(first.clone().set(Key.ACTION, torch.ones(2, 1).long()))
