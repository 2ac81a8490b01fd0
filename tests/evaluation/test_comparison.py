"""Reward and length apart, one scale for several simulators, and what an advantage is elsewhere."""

import pytest
import torch

from lightrec.evaluation.comparison import advantage, earned, normalised, per_user
from lightrec.intervals import ratio_interval
from lightrec.simulators.rollout import Sessions


def sessions(reward, length):
    reward, length = torch.tensor(reward), torch.tensor(length)
    return Sessions(reward, reward, length, {}, 0.5)


def constant(reward, length=10.0, users=50, noise=0.1, seed=0):
    """Sessions of so much reward, give or take, of one length."""
    generator = torch.Generator().manual_seed(seed)
    rewards = reward + noise * torch.randn(1, users, generator=generator)
    return Sessions(rewards, rewards, torch.full((1, users), length), {}, 1.0)


OWN = sessions([[2.0, 6.0], [4.0, 8.0]], [[4.0, 12.0], [8.0, 8.0]])
OTHER = sessions([[1.0, 3.0], [1.0, 3.0]], [[5.0, 5.0], [5.0, 5.0]])


def test_users_are_means_over_seeds_and_rates_are_of_sums():
    assert per_user(OWN).tolist() == [[3, 6], [7, 10]]
    found = earned(OWN)
    assert found["returns"].mean == 5
    assert found["length"].mean == 8
    assert found["reward_per_step"].mean == 5 / 8


def test_an_advantage_is_what_longer_sessions_and_better_steps_bring():
    # Returns 5 and 2, lengths 8 and 5, rates 5/8 and 2/5.
    found = advantage(OWN, OTHER)
    assert found["total"].mean == 3
    assert found["length"].mean == pytest.approx(3 * (5 / 8 + 2 / 5) / 2)
    assert found["rate"].mean == pytest.approx((8 + 5) / 2 * (5 / 8 - 2 / 5))
    assert found["length"].mean + found["rate"].mean == pytest.approx(3)
    for part in advantage(OWN, OWN).values():
        assert part.mean == 0
        assert part.low == part.high == 0


def test_parts_add_up_whatever_was_played_and_belong_to_their_causes():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        pair = [
            Sessions(r := torch.randn(3, 9, generator=generator), r, length, {}, 0.0)
            for length in torch.randint(1, 40, (2, 3, 9), generator=generator).float()
        ]
        found = advantage(*pair)
        assert found["length"].mean + found["rate"].mean == pytest.approx(
            found["total"].mean, abs=1e-5
        )
    # Twice as long at the same rate is all length; twice the rate at the same length is all rate.
    longer = advantage(sessions([[4.0, 4.0]], [[8.0, 8.0]]), sessions([[2.0, 2.0]], [[4.0, 4.0]]))
    assert (longer["length"].mean, longer["rate"].mean) == (2, 0)
    better = advantage(sessions([[4.0, 4.0]], [[4.0, 4.0]]), sessions([[2.0, 2.0]], [[4.0, 4.0]]))
    assert (better["length"].mean, better["rate"].mean) == (0, 2)


def test_the_scale_has_its_ends():
    floor, top = constant(2, seed=1), constant(6, seed=2)
    assert normalised(floor, floor, top)[:3] == pytest.approx((0, 0, 0))
    assert normalised(top, floor, top)[:3] == pytest.approx((1, 1, 1))
    middle = normalised(constant(3, seed=3), floor, top)
    assert middle.mean == pytest.approx(0.25, abs=0.02)
    assert middle.low < 0.25 < middle.high
    assert normalised(top, floor, constant(2, seed=4)) is None


def test_the_transfer_ratio():
    def gain(own, other):
        users = per_user(own, other)
        return users[:, 0] - users[:, 2]

    home = gain(constant(6, seed=1), constant(2, seed=2))
    away = gain(constant(3, users=30, seed=3), constant(2, users=30, seed=4))
    found = ratio_interval(away, home, paired=False)
    assert found.mean == pytest.approx(0.25, abs=0.02)
    assert found.low < 0.25 < found.high
    # The same users twice, and the same sessions: exactly one.
    assert ratio_interval(home, home, paired=True) == pytest.approx((1, 1, 1), abs=1e-6)
    assert ratio_interval(away, 0 * home, paired=False) is None
    assert ratio_interval(away, -home, paired=False) is None
