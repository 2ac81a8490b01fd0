"""Maximum entropy, against a small world whose reward is known."""

import pytest

from lightrec.users.irl import MaxEnt
from tests.users.irl.tabular_choice import (
    build,
    drawn_world,
    found_rewards,
    likelihood,
    same_as_logit,
    train,
)


@pytest.fixture(scope="module")
def world():
    return drawn_world()


@pytest.mark.slow
def test_a_free_reward_of_nothing_explains_choices_as_well_and_is_another(world):
    reward, batch = world
    anchored, free = (train(build(MaxEnt(way)), batch) for way in (True, False))
    assert (found_rewards(anchored) - reward).abs().max() < 0.1
    assert likelihood(free, batch) == pytest.approx(likelihood(anchored, batch), abs=1e-4)
    assert (found_rewards(free) - reward).abs().max() > 0.3


def test_without_discount_it_is_the_conditional_logit(world):
    reward, batch = world
    same_as_logit(build(MaxEnt(), 0.0), reward, batch)
