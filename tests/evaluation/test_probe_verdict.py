"""The rule by which a simulator has a hole, on sessions made by hand."""

import pytest
import torch

from lightrec.evaluation.probe import CONSTANT, LASTING, RANDOM, UNREPEATED, judge_probe
from lightrec.simulators.rollout import Sessions


def sessions(rate, length=10.0, users=200):
    """Sessions of one length whose users differ a little in what they earn."""
    rewards = rate * length * torch.linspace(0.9, 1.1, users).unsqueeze(0)
    return Sessions(rewards, rewards, torch.full_like(rewards, length), {}, 0.1)


def probed(random, constant, bounds=(0.0, 1.0), learned=(), **others):
    played = {RANDOM: sessions(random), CONSTANT: sessions(constant), **others}
    return judge_probe("A", "free", "list of items", played, bounds, learned)


def test_much_of_what_is_possible_and_far_above_random_is_a_hole():
    found = probed(0.02, 0.9)
    assert found.hole
    assert found.verdict == (
        "A single constant list of items for everybody reaches 0.900 of the highest reward of a "
        "step (0.9 of 1); random reaches 0.020, 45 times less. Returns in this simulator prove "
        "nothing about personalisation."
    )
    assert probed(0.0, 0.9).verdict.count("random reaches 0.000, nothing.") == 1


@pytest.mark.parametrize(
    ("random", "constant", "bounds"),
    [
        (0.2, 0.9, (0, 1)),  # random does well itself
        (0.02, 0.4, (0, 1)),  # a popular item
        (0.02, 0.9, (0, 2)),  # less than half of what a step can give
        (-0.2, 0.9, (-5, 4)),  # rewards of both signs
    ],
)
def test_what_could_be_popularity_or_a_narrow_scale_is_none(random, constant, bounds):
    found = probed(random, constant, bounds)
    assert not found.hole
    assert found.verdict.startswith("No hole was found: ")
    assert "no proof that there is nothing" in found.verdict


def test_what_is_not_clear_of_chance_is_none():
    rewards = torch.zeros(1, 4)
    rewards[0, 0] = 30.0
    few = Sessions(rewards, rewards, torch.full_like(rewards, 10), {}, 0.1)
    played = {RANDOM: sessions(0.01), CONSTANT: few}
    assert not judge_probe("A", "free", "item", played, (0, 1)).hole


def test_a_policy_that_is_no_better_than_one_list_is_evidence_of_nothing():
    poor, good = sessions(0.25), sessions(0.35)
    found = probed(0.02, 0.3, learned=["policy"], policy=poor)
    assert found.hole
    assert "earns 3 a session, no less than policy (2.5), which looks at users" in found.verdict
    found = probed(0.02, 0.3, learned=["policy", "other"], policy=good, other=poor)
    assert not found.hole
    assert "random 0.02 and policy 0.35" in found.verdict
    # By whole sessions: a list that keeps people counts, however little it earns a step.
    lasting = {LASTING: sessions(0.2, length=40.0)}
    found = probed(0.02, 0.3, learned=["policy"], policy=good, **lasting)
    assert found.hole
    # An honest world may have such a list, too: it is told, and nobody accused.
    found = probed(0.2, 0.5, learned=["oracle"], oracle=sessions(0.45))
    assert not found.hole
    assert "no less than oracle (4.5)" in found.verdict


def test_repeats_that_pay_are_told():
    paid = probed(0.2, 0.6, **{UNREPEATED: sessions(0.4)})
    assert paid.pays_for_repeats
    assert paid.verdict.endswith("so judge in the mode no-repeats as well.")
    unpaid = probed(0.2, 0.4, **{UNREPEATED: sessions(0.6)})
    assert unpaid.pays_for_repeats is False
    assert unpaid.verdict.endswith("without repeats 0.6: repeats do not pay.")
    assert probed(0.2, 0.4).pays_for_repeats is None
