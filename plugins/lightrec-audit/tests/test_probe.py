"""Probing: the hole that is known is found, honest worlds are not accused, runs are played."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from lightrec_audit.probe import CONSTANT, RANDOM, judge_probe, probe
from lightrec_testing.simulators import TinyWorld

from lightrec.evaluation.simulation import Simulation
from lightrec.keys import Key
from lightrec.policies.baselines import RandomPolicy
from lightrec.simulators.rollout import Sessions
from lightrec.simulators.world import Scored


def test_a_world_with_a_hole_is_accused():
    class Loophole(TinyWorld):
        """Hardly anybody takes anything, but for item 7, which everybody takes."""

        def respond(self, state, slate):
            response = super().respond(state, slate)
            taken = slate == 7
            changed = {**response.changed, Key.TRUE_REWARD: taken.float()}
            return replace(response, taken=taken, value=taken.float(), changed=changed)

        def oracle(self, state):
            return torch.zeros(len(state), 13)

    world = Loophole(300, offer_size=None, repeats=True)
    policies = {"random": partial(RandomPolicy, 12), "oracle": partial(Scored, world.oracle)}
    arena = Simulation("Loophole", world, torch.arange(300), world.catalog(), None, policies)
    result = probe(arena, [], "free", 300, 0)
    assert result.hole
    assert result.pays_for_repeats
    assert result.shares["constant"].mean == 1
    assert result.shares["random"].mean == pytest.approx(1 / 12, abs=0.03)
    assert "A single constant item for everybody reaches 1.000" in result.verdict


def sessions(rate, length=10.0, users=200):
    """Sessions of one length whose users differ a little in what they earn."""
    rewards = rate * length * torch.linspace(0.9, 1.1, users).unsqueeze(0)
    return Sessions(rewards, rewards, torch.full_like(rewards, length), {}, 0.1)


@pytest.mark.parametrize(
    ("random", "constant", "bounds", "said"),
    [
        (0.02, 0.9, (0, 1), "reaches 0.900 of the highest reward"),
        (0.2, 0.9, (0, 1), None),  # random does well itself
        (0.02, 0.4, (0, 1), None),  # a popular item
        (0.02, 0.9, (0, 2), None),  # less than half of what a step can give
        (-0.2, 0.9, (-5, 4), None),  # rewards of both signs
    ],
)
def test_much_of_what_is_possible_and_far_above_random_is_a_hole(random, constant, bounds, said):
    """What could be popularity, or a narrow scale, is none."""
    played = {RANDOM: sessions(random), CONSTANT: sessions(constant)}
    result = judge_probe("A", "free", "list of items", played, bounds, ())
    assert result.hole == bool(said)
    assert (said or "No hole was found: ") in result.verdict


@pytest.mark.parametrize("unseen", [False, True])
def test_what_the_log_says_nothing_of_is_a_hole_sooner(unseen):
    played = {RANDOM: sessions(0.1), CONSTANT: sessions(0.3)}
    result = judge_probe("A", "free", "item", played, (0, 1), (), ["pear"], unseen=unseen)
    assert result.hole == ("says nothing of pear" in result.verdict) == unseen
