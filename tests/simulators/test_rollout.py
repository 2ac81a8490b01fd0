"""Judging: closed forms, pairing, and that equal policies differ by nothing."""

import pytest
import torch

from lightrec.evaluation.sessions import compare, transfer_ratios
from lightrec.policies.baselines import ConstantListPolicy, PopularityPolicy, RandomPolicy
from lightrec.simulators.rollout import Sessions, judge
from lightrec.simulators.user_model import UserModelSimulator
from tests.simulators.tastes import fixed_tastes, starts_of

USERS = 1500
CHANCES = torch.tensor([0.9, 0.1] * 20)


@pytest.fixture(scope="module")
def simulator():
    users, starts = fixed_tastes(CHANCES), starts_of([[]] * USERS)
    return UserModelSimulator(users, starts, USERS, leave_rate=0.1, max_steps=15)


def popularity(order):
    counts = torch.zeros(41)
    counts[torch.tensor(order)] = torch.arange(len(order), 0, -1.0)
    return PopularityPolicy.from_appeal(counts)


@pytest.fixture(scope="module")
def sessions(simulator):
    good = [*range(1, 41, 2), *range(2, 41, 2)]
    policies = {
        "policy": popularity(good),
        "same": popularity(good),
        "bad": popularity(good[::-1]),
        "random": RandomPolicy(40),
        "constant": ConstantListPolicy.from_user_model(
            simulator.user_model, torch.zeros(2, 4).long()
        ),
    }
    worth = {"double": lambda history, items: 2.0 * (items > 0)}
    return judge(policies, simulator, torch.arange(USERS), [0, 1], rewards=worth)


def test_returns_in_closed_form(sessions):
    length = (1 - 0.9**15) / 0.1
    found = compare({name: [played] for name, played in sessions.items()})
    assert abs(found["policy/length"] - length) < 0.25
    left = [(sessions["policy"].length > step).float().mean() for step in (1, 5, 14)]
    assert torch.stack(left).tolist() == pytest.approx([0.9, 0.9**5, 0.9**14], abs=0.025)
    assert abs(found["policy/accepted"] - 0.9 * length) < 0.25
    assert abs(found["bad/accepted"] - 0.1 * length) < 0.1
    assert abs(found["random/accepted"] - 0.5 * length) < 0.2
    assert abs(found["policy/per_step"] - 0.9) < 0.01
    assert found["policy/coverage"] == 15 / 40
    assert found["random/coverage"] == 1
    assert found["policy/double"] == pytest.approx(2 * found["policy/accepted"])
    assert found["policy/return"] == found["policy/accepted"]


def test_repeats_are_accepts_of_what_was_accepted_before_in_the_session(simulator, sessions):
    """Items do not come again, unless the simulator says so: then all but a session's first."""
    assert sessions["policy"].metrics()["repeats"] == 0
    again = UserModelSimulator(
        simulator.user_model, simulator.starts, USERS, leave_rate=0.1, max_steps=15, repeats=True
    )
    found = judge({"best": popularity(range(1, 41))}, again, torch.arange(USERS), [0])["best"]
    first = int((found.accepted > 0).sum())
    total = int(found.accepted.sum())
    assert found.repeats == pytest.approx((total - first) / total)
    assert found.repeats > 0.5


def test_paired_differences(sessions):
    found = compare({name: [played] for name, played in sessions.items()})
    for name in ("same", "constant"):
        assert found[f"policy-minus-{name}/accepted"] == 0
        assert found[f"policy-minus-{name}/accepted/low"] == 0
    gap = found["policy/accepted"] - found["bad/accepted"]
    assert found["policy-minus-bad/accepted"] == pytest.approx(gap, abs=1e-5)
    low, high = found["policy-minus-bad/accepted/low"], found["policy-minus-bad/accepted/high"]
    assert low < gap < high
    # Common leaving: lengths are equal to the step.
    assert found["policy-minus-bad/length"] == found["policy-minus-bad/length/high"] == 0


def test_transfer_ratios():
    def of(accepted, length=10.0):
        accepted = torch.tensor([accepted])
        return Sessions(accepted, accepted, torch.full_like(accepted, length), {}, 1.0)

    here = {"policy": of([6.0, 8.0, 7.0, 7.4]), "other": of([2.0, 3.0, 3.0, 2.4])}
    there = {"policy": of([5.0, 5.0, 5.0, 5.0]), "other": of([3.0, 2.5, 3.0, 2.5])}
    there["same"] = there["other"]
    refits = {name: [played] for name, played in there.items()}
    here["better"], refits["better"] = of([9.0, 9.5, 9.0, 9.5]), refits["other"]
    here["same"] = here["policy"]
    found = transfer_ratios({name: [played] for name, played in here.items()}, refits)
    # 2.25 of 4.5 accepted items, of which lengths have no part.
    assert found["other/accepted"] == pytest.approx(0.5)
    assert found["other/per_step"] == pytest.approx(0.5)
    assert found["other/accepted/low"] == pytest.approx(0.5, abs=0.01)
    assert set(found) == {
        f"other/{k}{e}" for k in ("accepted", "per_step") for e in ("", "/low", "/high")
    }
