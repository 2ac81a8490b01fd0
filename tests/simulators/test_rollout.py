"""Judging: closed forms, pairing, the three modes, and what is shown, written as a log and read."""

import numpy as np
import pytest
import torch
from lightrec_testing import tiny
from lightrec_testing.simulators import TinyWorld

from lightrec.data.log import InteractionLog
from lightrec.errors import RecipeError
from lightrec.evaluation.sessions import compare, transfer_ratios
from lightrec.keys import Key
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.policies.baselines import ConstantListPolicy, PopularityPolicy, RandomPolicy
from lightrec.simulators.rollout import SessionLog, Sessions, judge
from lightrec.simulators.session_env import SessionEnv
from lightrec.simulators.user_model import UserModelSimulator
from tests.simulators.tastes import fixed_tastes, starts_of
from tests.users.stores import prepared

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


SESSIONS, PLACES = 60, 3


def test_the_weighted_mean_of_a_policy_on_its_own_log_is_its_mean_return(tmp_path):
    starts, settings = starts_of([[]] * SESSIONS), {"slate_size": PLACES, "max_steps": 3}
    world = UserModelSimulator(tiny.tiny_user_model(), starts, SESSIONS, **settings)
    policy = PopularityPolicy.from_appeal(torch.randn(tiny.NUM_ITEMS + 1))
    log, users = SessionLog([f"item {n}" for n in range(1, 13)]), torch.arange(SESSIONS)
    judged = judge({"": policy}, world, users, [4, 5], deterministic=False, record=log)
    sessions = judged[""]
    log.log().write_parquet(tmp_path / "log.parquet")
    read = InteractionLog.read_parquet(tmp_path / "log.parquet")
    store = prepared(read, tmp_path / "store")
    number = [0, *(int(name.removeprefix("item ")) for name in store.catalog["item"])]
    slates = torch.tensor(number)[torch.from_numpy(np.array(store.candidates)).long()]
    log_ratios = torch.zeros(store.num_users, dtype=torch.float64)
    returns = torch.zeros(store.num_users, dtype=torch.float64)
    propensities = torch.from_numpy(store.log["propensity"].to_numpy().copy())
    rewards = torch.from_numpy(store.log["value"].to_numpy().copy())
    scores = policy.scores(torch.zeros(1, 1, dtype=torch.int64))
    for user in range(store.num_users):
        events = slice(store.offsets[user], store.offsets[user + 1])
        mask = torch.ones(1, policy.num_items + 1, dtype=torch.bool)
        mask[:, 0] = False
        for slate, propensity in zip(slates[events], propensities[events], strict=True):
            law = PlackettLuce(scores, mask, PLACES)
            log_ratios[user] += law.log_prob(slate[None]).double().item() - propensity.log()
            mask[:, slate] = False  # nothing is shown twice
        returns[user] = rewards[events].sum()
    estimate = (log_ratios.exp() * returns).mean()
    assert store.num_users == sessions.reward.numel() == 2 * SESSIONS
    assert float(returns.std()) > 0.5
    assert float(estimate) == pytest.approx(float(sessions.reward.double().mean()), abs=1e-6)


in_mode = SessionEnv.in_mode


def user_model():
    settings = {"leave_rate": 0.3, "max_steps": 9, "repeats": True}
    return UserModelSimulator(fixed_tastes([0.5] * 6), starts_of([[]] * 40), 40, **settings)


MAKERS = {
    "mask": user_model,
    "offer": lambda: TinyWorld(40, repeats=True, max_steps=9),
    "offer of several": lambda: TinyWorld(40, repeats=True, slate_size=2, max_steps=9),
}


def course(simulator, seed=3):
    """Slates (steps, B, K) of random play, 0 where a session is over, and lengths (B,)."""
    simulator.fix(torch.arange(simulator.batch_size[0]), seed)
    state, slates = simulator.reset(), []
    alive = torch.ones(simulator.batch_size[0], dtype=torch.bool)
    torch.manual_seed(seed)
    for _ in range(simulator.max_steps):
        state = simulator.rand_action(state)
        slates.append(state[Key.ACTION] * alive.unsqueeze(1))
        state = simulator.step(state)["next"].exclude("reward")
        assert torch.equal(state["done"], state["terminated"] | state["truncated"])
        assert not (state["terminated"] & state["truncated"]).any()
        alive = alive & ~state["done"].squeeze(1)
    assert not alive.any()
    shown = torch.stack(slates)
    return shown, (shown > 0).any(2).sum(0)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_nothing_is_shown_twice_and_what_is_left_is_used_up(make):
    free = make()
    shown, lengths = course(in_mode(in_mode(free, "fixed"), "no-repeats"))
    for session in shown.permute(1, 0, 2):
        items = session[session > 0]
        assert len(items.unique()) == len(items)
    again, others = course(in_mode(free, "fixed"))
    assert (others == 9).all()  # nobody leaves before the last step
    assert course(free)[1].min() < 9  # the one given has kept its rules
    assert any(len(s[s > 0].unique()) < (s > 0).sum() for s in again.permute(1, 0, 2))
    if free.offer_size is None:
        assert (lengths == 6).all()  # six items, and then nothing is left to show


class Dial(SessionEnv):
    """Its actions are no slates; nobody plays in it."""

    def first_state(self, rows, session):
        raise NotImplementedError

    def _step(self, tensordict):
        raise NotImplementedError


def test_what_is_impossible_is_told():
    with pytest.raises(RecipeError, match="no mode 'norepeats' of judging; give one of free"):
        in_mode(user_model(), "norepeats")
    assert in_mode(Dial(2, max_steps=3), "fixed").ending == "fixed"
    with pytest.raises(RecipeError, match="shows no items by their number"):
        in_mode(Dial(2, max_steps=3), "no-repeats")
