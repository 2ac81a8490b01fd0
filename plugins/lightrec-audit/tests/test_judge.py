"""Judging a run's policy in both of its user models; `lightrec judge` and `probe` as typed."""

import math

import pytest
import torch
from lightrec_audit.judge import (
    Place,
    advantage,
    function_interval,
    judge_all,
    normalised,
    places_of,
)

from lightrec.__main__ import main
from lightrec.errors import RecipeError
from lightrec.evaluation import simulation as simulations
from lightrec.intervals import mean_interval
from lightrec.simulators.rollout import Sessions

SETTINGS = {"max_steps": 6, "leave_rate": 0.3}


@pytest.fixture(scope="module")
def judged(tiny_run):
    places = [Place(str(tiny_run), SETTINGS, model) for model in ("users_a", "users_b")]
    return judge_all(places, ["policy", "popularity"], ["fixed", "free", "no-repeats"], 80, 0)


def entry(judged, simulator, mode, policy, slates="mode"):
    (row,) = (e for e in judged.entries if [*e.values()][:4] == [simulator, mode, policy, slates])
    return row


def test_numbers_are_those_of_the_sessions(judged, tiny_run):
    on = simulations.simulation(str(tiny_run), 80, 0, SETTINGS, "users_a")
    for slates, drawn in (("mode", False), ("sample", True)):
        sessions = on.play(on.policy("policy"), 80, 0, deterministic=not drawn)
        row = entry(judged, "A", "free", "policy", slates)
        assert row["earned"]["returns"].mean == pytest.approx(float(sessions.reward.mean()))
        assert row["earned"]["length"].mean == pytest.approx(float(sessions.length.mean()))
        assert row["coverage"] == sessions.coverage
    assert {(field["users"], field["rounds"]) for field in judged.fields} == {(60, 2)}


def test_a_runs_policy_was_trained_in_its_user_model_a(judged):
    trained = {(e["policy"], e["trained_in"]) for e in judged.entries if e["trained_in"]}
    assert trained == {("policy", "A")}
    transfers = {(k["mode"], k["slates"]): k for k in judged.transfers}
    assert len(judged.transfers) == len(transfers) == 6
    row = transfers["free", "sample"]
    for simulator, interval in (("A", row["at_home"]), ("B", row["elsewhere"])):
        gained = entry(judged, simulator, "free", "policy", "sample")["advantage"]
        assert interval == gained["total"]


def test_names_of_simulators(tiny_run):
    assert [place.model for place in places_of(str(tiny_run))] == ["users_a", "users_b"]
    (one,) = places_of(f"{tiny_run}/users_b:max_steps=4")
    assert (one.what, one.model, one.settings) == (str(tiny_run), "users_b", {"max_steps": 4})
    with pytest.raises(RecipeError, match="A setting of Greed takes NAME=VALUE"):
        places_of("Greed:slate_size")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("judge", "runs/a", "--policy", "random", "--sessions", "1"), "at least 2"),
        (("judge", "runs/a", "--policy", "random", "--out", "a.txt"), "end in .md or .json"),
        (("probe", "Nowhere"), "There is no 'Nowhere' among the simulators"),
    ],
)
def test_what_cannot_be_done_is_told(words, says, capsys):
    assert main(list(words)) == 2
    assert says in capsys.readouterr().err


def test_a_function_of_means_has_the_interval_of_its_linear_part():
    generator = torch.Generator().manual_seed(1)
    users = torch.randn(400, 2, generator=generator) * 0.1 + torch.tensor([3.0, 2.0])
    # A linear function: what Student's interval of the users' own values says.
    plain = mean_interval(2 * users[:, 0] - users[:, 1])
    assert function_interval(lambda m: 2 * m[0] - m[1], users) == pytest.approx(plain, rel=1e-6)
    # A ratio: (x - r y) / mean y is its linear part.
    x, y = users.double().T
    ratio = x.mean() / y.mean()
    linear = mean_interval(ratio + (x - ratio * y) / y.mean())
    assert function_interval(lambda m: m[0] / m[1], users) == pytest.approx(linear, rel=1e-9)
    alone = function_interval(lambda m: m[0] / m[1], users[:1])
    assert alone == (pytest.approx(float(users[0, 0] / users[0, 1])), -math.inf, math.inf)


def constant(reward, seed):
    """Sessions of so much reward, give or take, of one length."""
    generator = torch.Generator().manual_seed(seed)
    rewards = reward + 0.1 * torch.randn(1, 50, generator=generator)
    return Sessions(rewards, rewards, torch.full((1, 50), 10.0), {}, 1.0)


def test_an_advantage_is_what_longer_sessions_and_better_steps_bring():
    # Returns 5 and 2, lengths 8 and 5, rates 5/8 and 2/5.
    reward, length = torch.tensor([[[2.0, 6], [4, 8]], [[4, 12], [8, 8]]])
    sessions = Sessions(reward, reward, length, {}, 0.5)
    reward, length = torch.tensor([[[1.0, 3], [1, 3]], [[5, 5], [5, 5]]])
    row = advantage(sessions, Sessions(reward, reward, length, {}, 0.5))
    assert row["total"].mean == 3
    assert row["length"].mean == pytest.approx(3 * (5 / 8 + 2 / 5) / 2)
    assert row["rate"].mean == pytest.approx((8 + 5) / 2 * (5 / 8 - 2 / 5))
    assert row["length"].mean + row["rate"].mean == pytest.approx(3)


def test_the_scale_has_its_ends():
    floor, top = constant(2, 1), constant(6, 2)
    assert normalised(top, floor, top)[:3] == pytest.approx((1, 1, 1))
    middle = normalised(constant(3, 3), floor, top)
    assert middle.mean == pytest.approx(0.25, abs=0.02)
    assert middle.low < 0.25 < middle.high
    assert normalised(top, floor, constant(2, 4)) is None
