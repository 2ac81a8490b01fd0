"""Judging a run's policy in both of its user models, and worlds beside each other."""

import pytest
import torch
from lightrec_audit.judge import Place, advantage, entries, judge_all, normalised, transfers

from lightrec.evaluation import arena as arenas
from lightrec.simulators.rollout import Sessions

SETTINGS = {"max_steps": 6, "leave_rate": 0.3}


@pytest.fixture(scope="module")
def judged(tiny_run):
    places = [Place(str(tiny_run), SETTINGS, model) for model in ("users_a", "users_b")]
    return judge_all(places, ["policy", "popularity"], ["fixed", "free", "no-repeats"], 80, 0)


def entry(judged, simulator, mode, policy, slates="mode"):
    (found,) = (e for e in judged.entries if [*e.values()][:4] == [simulator, mode, policy, slates])
    return found


def test_numbers_are_those_of_the_sessions(judged, tiny_run):
    on = arenas.arena(str(tiny_run), 80, 0, SETTINGS, "users_a")
    for slates, drawn in (("mode", False), ("sample", True)):
        sessions = on.play(on.policy("policy"), 80, 0, deterministic=not drawn)
        found = entry(judged, "A", "free", "policy", slates)
        assert found["earned"]["returns"].mean == pytest.approx(float(sessions.reward.mean()))
        assert found["earned"]["length"].mean == pytest.approx(float(sessions.length.mean()))
        assert found["coverage"] == sessions.coverage
    assert {(field["users"], field["rounds"]) for field in judged.fields} == {(60, 2)}


def test_a_runs_policy_was_trained_in_its_user_model_a(judged):
    trained = {(e["policy"], e["trained_in"]) for e in judged.entries if e["trained_in"]}
    assert trained == {("policy", "A")}
    transfers = {(k["mode"], k["slates"]): k for k in judged.transfers}
    assert len(judged.transfers) == len(transfers) == 6
    found = transfers["free", "sample"]
    for simulator, interval in (("A", found["at_home"]), ("B", found["elsewhere"])):
        gained = entry(judged, simulator, "free", "policy", "sample")["advantage"]
        assert interval == gained["total"]


def constant(reward, seed):
    """Sessions of so much reward, give or take, of one length."""
    generator = torch.Generator().manual_seed(seed)
    rewards = reward + 0.1 * torch.randn(1, 50, generator=generator)
    return Sessions(rewards, rewards, torch.full((1, 50), 10.0), {}, 1.0)


def test_entries_and_transfers_name_how_slates_were_shown():
    def played(good):
        others = {("greedy", "mode"): constant(3, 3), ("random", "mode"): constant(1, 4)}
        best, drawn = constant(good, 1), constant(good - 1, 2)
        return {("policy", "mode"): best, ("policy", "sample"): drawn, **others}

    home, away = played(7.0), played(5.0)
    best, drawn, reference, _ = entries(home, "greedy", "greedy", {"policy": "A"})
    assert (best["slates"], best["trained_in"]) == ("mode", "A")
    assert best["normalised"].mean == pytest.approx(3, abs=0.1)
    # Over the reference as it is at its best, however the policy was shown.
    assert drawn["advantage"]["total"].mean == pytest.approx(3, abs=0.1)
    assert reference["advantage"] is None
    by_mode, by_sample = transfers(home, away, "policy", "greedy", True)
    assert (by_mode["slates"], by_sample["slates"]) == ("mode", "sample")
    assert by_mode["ratio"].mean == pytest.approx(2 / 4, abs=0.05)
    assert by_sample["ratio"].mean == pytest.approx(1 / 3, abs=0.05)


def test_an_advantage_is_what_longer_sessions_and_better_steps_bring():
    # Returns 5 and 2, lengths 8 and 5, rates 5/8 and 2/5.
    reward, length = torch.tensor([[[2.0, 6], [4, 8]], [[4, 12], [8, 8]]])
    own = Sessions(reward, reward, length, {}, 0.5)
    reward, length = torch.tensor([[[1.0, 3], [1, 3]], [[5, 5], [5, 5]]])
    found = advantage(own, Sessions(reward, reward, length, {}, 0.5))
    assert found["total"].mean == 3
    assert found["length"].mean == pytest.approx(3 * (5 / 8 + 2 / 5) / 2)
    assert found["rate"].mean == pytest.approx((8 + 5) / 2 * (5 / 8 - 2 / 5))
    assert found["length"].mean + found["rate"].mean == pytest.approx(3)


def test_the_scale_has_its_ends():
    floor, top = constant(2, 1), constant(6, 2)
    assert normalised(top, floor, top)[:3] == pytest.approx((1, 1, 1))
    middle = normalised(constant(3, 3), floor, top)
    assert middle.mean == pytest.approx(0.25, abs=0.02)
    assert middle.low < 0.25 < middle.high
    assert normalised(top, floor, constant(2, 4)) is None
