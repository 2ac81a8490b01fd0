"""Judging a run's policy in both of its user models, and worlds beside each other."""

import json

import pytest
import torch
from lightrec_audit.judge import Place, entries, judge_all, markdown, transfers

from lightrec import builtin, plugins
from lightrec.errors import RecipeError
from lightrec.evaluation import arena as arenas
from lightrec.evaluation.base import to_plain
from lightrec.hookspecs import gives
from lightrec.simulators.rollout import Sessions

SETTINGS = {"max_steps": 6, "leave_rate": 0.3}


@pytest.fixture
def tiny_world(monkeypatch):
    """The tiny world is installed, as though it were lightrec's own."""
    own = {**builtin.lightrec_simulators(), "TinyWorld": "lightrec.testing.simulators:TinyWorld"}
    monkeypatch.setattr(builtin, "lightrec_simulators", gives(own))
    plugins.installed.cache_clear()
    yield
    plugins.installed.cache_clear()


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
    assert [field["simulator"] for field in judged.fields] == ["A", "B"] * 3
    assert {(field["users"], field["rounds"]) for field in judged.fields} == {(60, 2)}


def test_modes_are_what_they_say(judged):
    for simulator in "AB":
        assert entry(judged, simulator, "fixed", "policy")["earned"]["length"].mean == 6
        assert entry(judged, simulator, "free", "policy")["earned"]["length"].mean < 5
        assert entry(judged, simulator, "fixed", "policy")["advantage"]["length"].mean == 0
    # The run's items do not repeat by themselves, so that nothing was played twice.
    assert {field["mode"] for field in judged.fields if field["same"]} == {"no-repeats"}
    free, other = (entry(judged, "B", mode, "policy") for mode in ("free", "no-repeats"))
    assert free == {**other, "mode": "free"}


def test_the_scale_and_the_reference_are_there(judged):
    assert judged.reference == "greedy"
    assert {e["policy"] for e in judged.entries} == {
        *("policy", "popularity", "greedy", "constant", "random")
    }
    assert len(judged.fields) == 6
    for field in judged.fields:
        mode, simulator, top = field["mode"], field["simulator"], field["top"]
        rewards = {
            name: entry(judged, simulator, mode, name)["earned"]["returns"].mean
            for name in ("greedy", "constant", "popularity")
        }
        assert rewards[top] == max(rewards.values())
        scaled = entry(judged, simulator, mode, top)["normalised"]
        assert scaled is None or scaled.mean == pytest.approx(1)
    # Whoever was not named stands there as it is at its best only.
    slates = {e["slates"] for e in judged.entries if e["policy"] == "constant"}
    assert slates == {"mode"}


def test_a_runs_policy_was_trained_in_its_user_model_a(judged):
    trained = {(e["policy"], e["trained_in"]) for e in judged.entries if e["trained_in"]}
    assert trained == {("policy", "A")}
    transfers = {(k["mode"], k["slates"]): k for k in judged.transfers}
    assert len(judged.transfers) == len(transfers) == 6
    found = transfers["free", "sample"]
    assert (found["policy"], found["home"], found["away"]) == ("policy", "A", "B")
    for simulator, interval in (("A", found["at_home"]), ("B", found["elsewhere"])):
        gained = entry(judged, simulator, "free", "policy", "sample")["advantage"]
        assert interval == gained["total"]
    if found["ratio"] is not None:
        ratio = found["elsewhere"].mean / found["at_home"].mean
        assert found["ratio"].mean == pytest.approx(ratio)


def test_tables_and_json_hold_all(judged, tiny_run):
    text = markdown(judged)
    assert f"- A: {tiny_run}, user model A (max_steps=6, leave_rate=0.3)" in text
    for column in ("return, mode", "return, sample", "reward/step, sample", "from length, mode"):
        assert f" {column} |" in text
    assert text.count("all is as in the mode free") == 2
    assert "random has 0 and the best that is known has 1" in text
    rows = [line for line in text.splitlines() if line.startswith("| policy ") and "* " in line]
    assert rows or "* –" in text  # the star of the simulator of training
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)
    values = json.loads(json.dumps(judged.plain(), allow_nan=False))
    assert len(values["entries"]) == len(judged.entries)
    first = values["entries"][0]
    assert first["earned"]["returns"] == list(judged.entries[0]["earned"]["returns"])
    assert set(first["advantage"]) == {"total", "length", "rate"}
    assert len(values["transfers"]) == 6


def test_what_json_cannot_hold(judged):
    assert to_plain([float("inf"), float("nan"), 1.5, None]) == [None, None, 1.5, None]
    with pytest.raises(TypeError, match="dataclass"):
        to_plain(torch.zeros(1))


def test_worlds_stand_beside_each_other_and_saved_policies_say_where_they_were_trained(
    tiny_run, tiny_world
):
    places = [Place("TinyWorld", {}), Place("TinyWorld", {"slate_size": 2, "repeats": True})]
    found = judge_all(places, ["random@A"], ["free", "no-repeats"], 50, 1, over="oracle")
    assert list(found.simulators.values()) == [
        "TinyWorld",
        "TinyWorld (slate_size=2, repeats=True)",
    ]
    assert found.reference == "oracle"
    assert [(field["top"], field["same"]) for field in found.fields] == [("oracle", False)] * 4
    assert {(k["home"], k["away"]) for k in found.transfers} == {("A", "B")}
    with pytest.raises(RecipeError, match="names the simulator 'C' of its training, and there"):
        judge_all(places, ["random@C"], ["free"], 50, 1)
    with pytest.raises(RecipeError, match="There is no policy 'greedy' here"):
        judge_all(places, ["greedy"], ["free"], 50, 1)
    with pytest.raises(RecipeError, match="the simulator has 12"):
        judge_all(places, [str(tiny_run / "policy")], ["free"], 50, 1)


def constant(reward, length=10.0, users=50, noise=0.1, seed=0):
    """Sessions of so much reward, give or take, of one length."""
    generator = torch.Generator().manual_seed(seed)
    rewards = reward + noise * torch.randn(1, users, generator=generator)
    return Sessions(rewards, rewards, torch.full((1, users), length), {}, 1.0)


def test_entries_and_transfers_name_how_slates_were_shown():
    def played(good):
        others = {("greedy", "mode"): constant(3, seed=3), ("random", "mode"): constant(1, seed=4)}
        best, drawn = constant(good, seed=1), constant(good - 1, seed=2)
        return {("policy", "mode"): best, ("policy", "sample"): drawn, **others}

    home, away = played(7.0), played(5.0)
    found = {
        (e["policy"], e["slates"]): e for e in entries(home, "greedy", "greedy", {"policy": "A"})
    }
    assert set(found) == set(home)
    assert found["policy", "mode"]["trained_in"] == "A"
    assert found["policy", "mode"]["normalised"].mean == pytest.approx(3, abs=0.1)
    # Over the reference as it is at its best, however the policy was shown.
    assert found["policy", "sample"]["advantage"]["total"].mean == pytest.approx(3, abs=0.1)
    assert found["greedy", "mode"]["advantage"] is None
    by_mode, by_sample = transfers(home, away, "policy", "greedy", True)
    assert (by_mode["slates"], by_sample["slates"]) == ("mode", "sample")
    assert by_mode["ratio"].mean == pytest.approx(2 / 4, abs=0.05)
    assert by_sample["ratio"].mean == pytest.approx(1 / 3, abs=0.05)
