"""Rolling policies in worlds and in a run's user models, and the logs that this writes."""

import json
from functools import partial

import polars as pl
import pytest
import torch
from lightrec_testing.simulators import TinyWorld

from lightrec.data.readers.canonical import CanonicalReader
from lightrec.data.store import EventStore
from lightrec.errors import RecipeError
from lightrec.evaluation import simulation as simulations
from lightrec.evaluation.sessions import logged_figures
from lightrec.keys import Column
from lightrec.policies.baselines import RandomPolicy
from tests.users.stores import TWO_SETS, prepared


def test_a_log_tells_what_was_shown_chosen_and_how_likely_it_was(tmp_path):
    world, policies = TinyWorld(50, slate_size=2), {"random": partial(RandomPolicy, 12)}
    where = ("TinyWorld", world, torch.arange(50), world.catalog(), None, policies)
    sessions = simulations.Simulation(*where).write_log("random", 100, 5, tmp_path / "log")
    facts = json.loads((tmp_path / "log" / "simulation.json").read_text())
    assert facts["behavior_policy"] == "random"
    events = CanonicalReader().read(tmp_path / "log").log.events
    assert events.height == int(sessions.length.sum())
    assert events[Column.SESSION].n_unique() == events[Column.USER].n_unique() == 100
    chosen = events.filter(pl.col(Column.ITEM).is_not_null())
    assert chosen.height == int(sessions.accepted.sum())
    at = chosen.select(pl.col(Column.CANDIDATES).list.get(pl.col(Column.POSITION))).to_series()
    assert at.to_list() == chosen[Column.ITEM].to_list()
    # In the tiny world an item taken is worth 1, whatever the true reward.
    assert events[Column.VALUE].to_list() == events[Column.ITEM].is_not_null().cast(float).to_list()
    # Two of four candidates in order: one slate in twelve.
    assert events[Column.PROPENSITY].to_list() == pytest.approx([1 / 12] * events.height)
    assert events[Column.CANDIDATES].list.n_unique().unique().to_list() == [2]
    assert events[Column.IMPRESSION].n_unique() == events.height


def test_a_world_is_found_by_name_and_wrong_settings_are_told(lightrec_plugins):
    worlds = {"TinyWorld": f"{TinyWorld.__module__}:TinyWorld"}
    lightrec_plugins.add("tiny", f"lightrec_simulators = hookimpl(lambda: {worlds})")
    on = simulations.simulation("TinyWorld", 10, 0, {"slate_size": 2})
    assert on.simulator.slate_size == 2
    assert {"random", "oracle"} <= {*on.policies}
    with pytest.raises(RecipeError, match=r"'slate_sise'. Did you mean 'slate_size'"):
        simulations.simulation("TinyWorld", 10, 0, {"slate_sise": 2})
    with pytest.raises(RecipeError, match="UserModelSimulator cannot be made"):
        simulations.simulation("UserModelSimulator", 10, 0, {})
    with pytest.raises(RecipeError, match=r"no policy 'best' here. Give random, "):
        on.policy("best")


def test_a_run_is_played_in_its_user_models(tiny_run, tmp_path):
    on = simulations.simulation(str(tiny_run), 40, 0, {"max_steps": 6, "slate_size": 2})
    names = ["policy", "blend", "user-model-a", "even-mixture"]
    names += ["popularity", "random", "greedy", "constant"]
    assert list(on.policies)[:9] == [*names, "epsilon-greedy"]
    found = {name: on.play(on.policy(name), 80, seed=0) for name in names}
    assert all(sessions.reward.shape == (2, 40) for sessions in found.values())
    lines = simulations.table(found).splitlines()
    assert [line.split()[0] for line in lines] == ["policy", *names]
    saved = on.play(on.policy(str(tiny_run / "policy")), 80, seed=0)
    assert torch.equal(saved.reward, found["policy"].reward)
    on.write_log("policy", 80, 0, tmp_path / "log")
    tables = CanonicalReader().read(tmp_path / "log")
    events = tables.log.events
    assert tables.users.rows.equals(EventStore(tiny_run / "data").users)
    assert events[Column.USER].n_unique() == 40
    assert events[Column.SESSION].n_unique() == 80


def test_a_logs_sessions_are_summed_up_as_played_ones_are(tmp_path):
    """Four sessions of five events, in each of which nothing is taken once, and two items twice."""
    found = logged_figures(prepared(TWO_SETS, tmp_path))
    expected = {"length": 5, "accepted": 4, "accepting": 1, "repeats": 0.5}
    assert found == {f"sessions/{name}": value for name, value in expected.items()}
