"""What a run does with the parts of a plugin that somebody else wrote."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_testing import DomainChecks, check_all
from torch.nn.functional import one_hot

from lightrec import hookspecs, plugins
from lightrec.__main__ import main
from lightrec.api import EventStore, HeldOutLog, Key, Policy, Run, Stage
from lightrec.errors import PluginError
from lightrec.evaluation.simulation import simulation
from lightrec.recommend import load
from lightrec.simulators.rollout import judge
from lightrec.stages import recipes
from lightrec.stages.run import execute, run
from tests.beside import needs
from tests.clinic import ADULTS, SETTINGS, clinic_run, installed


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """A finished run of the plugin `clinic`, which is installed as long as its tests run."""
    with installed(tmp_path_factory.mktemp("site")):
        yield clinic_run(tmp_path_factory.mktemp("runs"))


def test_a_run_with_a_part_of_every_kind_ends_with_its_metrics(clinic):
    run, metrics = Run(clinic), json.loads((clinic / "metrics.json").read_text())
    assert metrics["clinic/minors"] == ADULTS.start
    assert type(run.policy).__name__ == "Habit"
    assert 0 < metrics["test/policy/ndcg@10"] < 1
    assert metrics["simulator/policy/length"] > 0
    check_all(DomainChecks(type(run.domain)))


POLICY = """
seed_everything: 0
trainer: {max_epochs: 1}
model: {class_path: PolicyModule, init_args: {sessions: 8, steps: 3}}
data:
  class_path: WorldData
  init_args:
    world: Waiting
    settings: {willing: 1.0}
    policy: {class_path: Habit, init_args: {first: 2}}
    iterations: 1
    judging: 8
"""


@needs("worlds")
def test_parts_of_a_plugin_are_named_in_recipes_and_on_the_line(clinic, tmp_path, capsys):
    assert type(Run(clinic).ranker.users).__name__ == "Fading"
    recipe = tmp_path / "policy.yaml"
    recipe.write_text(POLICY)
    out = tmp_path / "waiting" / "policy"
    assert main(["fit", "-c", str(recipe), "--out", str(out)]) == 0
    assert type(Policy.load(out)).__name__ == "Habit"
    capsys.readouterr()
    policies = ["oracle", str(out), "Habit:first=2"]
    line = ["simulate", "Waiting", "--sessions", "8", "--set", "willing=1.0", "--policy"]
    assert main([*line, *policies]) == 0
    rows = [row.split() for row in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows] == policies
    assert all(row[5] == "1" for row in rows)  # who always takes gives 1 a step
    assert main([*line, "Habit:frist=2"]) == 2
    assert "Habit has no setting 'frist'. Did you mean 'first'?" in capsys.readouterr().err
    assert main(["clinic", str(clinic), "--kind", "lamp"]) == 0
    assert capsys.readouterr().out == "12 items of the kind lamp\n"


@pytest.fixture
def rules(clinic):
    """Which users, by rows, are minors, and which items (N + 1,) are for adults only."""
    store = EventStore(clinic / "data")
    minors = torch.tensor([int(name[1:]) not in ADULTS for name in store.user_ids])
    return minors, torch.tensor([False, *(store.catalog["kind"] == "lamp")])


@pytest.mark.parametrize("by", ["policy", "blend"])
def test_nobody_is_recommended_what_the_domain_forbids(clinic, by):
    recommender = load(clinic, by)
    table = pl.concat(recommender.recommend_all(k=48, batch_size=7)).join(
        recommender.catalog.select("item", "kind"), on="item"
    )
    minor = pl.col("user").str.slice(1).cast(pl.Int64) < ADULTS.start
    assert not (table.filter(minor)["kind"] == "lamp").any()
    # Ten of 48 items were seen; who was on a walk among lamps has 2 of their 12 left to see.
    seen_no_lamp = table.filter(~minor).filter(pl.col("user") == "u20")
    assert (seen_no_lamp["kind"] == "lamp").sum() == 12
    alone = recommender.recommend("u3", k=48)
    assert alone["item"].to_list() == table.filter(pl.col("user") == "u3")["item"].to_list()
    for history in ([], ["tea number 3", "rope number 1"]):
        stranger = recommender.recommend(history=history, k=48)
        assert 34 <= stranger.height <= 36
        assert not stranger["title"].str.starts_with("lamp").any()
        for age, shown in (("12", False), ("17", False), ("18", True), ("40", True)):
            person = recommender.recommend(history=history, profile={"age": age}, k=48)
            assert person["title"].str.starts_with("lamp").any() == shown
    assert recommender.recommend("u3", only=["kind=lamp"]).is_empty()
    assert recommender.recommend("u20", only=["kind=lamp"]).height == 10


def test_forbidden_items_are_not_ranked_and_events_about_them_are_misses(clinic, rules):
    minors, lamps = rules
    # Users 2, 6, 10, 14 and 18 are minors whose log is about lamps.
    assert Run(clinic).metrics()["test/ineligible_events"] == 5
    assert "5 of the events are about an item that the" in (clinic / "report.html").read_text()
    perfect = HeldOutLog().rank(
        Run(clinic).data, lambda batch: one_hot(batch[Key.TARGET], 49).float() + lamps / 2, 0
    )
    minor = minors[perfect.users]
    forbidden = minor & lamps[perfect.targets]
    assert perfect.ineligible == int(forbidden.sum()) == 5
    assert torch.equal(perfect.per_event()["ndcg@10"], (~forbidden).double())
    assert not lamps[perfect.lists[minor]].any()
    assert lamps[perfect.lists[~minor]].any()


@pytest.mark.parametrize("policy", ["random", "popularity", "constant", "policy"])
def test_no_contender_shows_what_is_forbidden(clinic, rules, policy):
    on = simulation(str(clinic), 60, 0, {"max_steps": 12})
    shown = []

    def note(state, following, alive):
        shown.append(torch.stack([state[Key.USER][alive], state[Key.ACTION][alive, 0]]))

    judge({policy: on.policy(policy)}, on.simulator, on.users, [0], record=note)
    (users, items), (minors, lamps) = torch.cat(shown, 1), rules
    assert not lamps[items[minors[users]]].any()
    assert lamps[items[~minors[users]]].any()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("key: test/ndcg@10", "gives the metric 'test/ndcg@10', and HeldOutLog of lightrec "),
        ("key: validation/ndcg@10", ".*'validation/ndcg@10', and an earlier stage has given one"),
        ("fault: nan", "gives metrics that are not finite numbers: clinic/minors. Give Python"),
        ("fault: error", "could not evaluate the run. It raised TypeError: "),
    ],
)
def test_an_evaluator_that_fails_is_named(clinic, setting, message):
    before = (clinic / "evaluate" / "metrics.json").read_bytes()
    minors = f"{{class_path: Minors, init_args: {{{setting}}}}}"
    recipe, words = recipes.find("generic/evaluate")[1], f"--evaluators=[HeldOutLog,{minors}]"
    with pytest.raises(PluginError, match=f"^Minors of lightrec-clinic 1.0 {message}"):
        execute(Stage("evaluate", recipe, clinic / "evaluate", [*SETTINGS["evaluate"], words]))
    assert (clinic / "evaluate" / "metrics.json").read_bytes() == before


def put(monkeypatch, slot, name, kind):
    """Let another class of the plugin stand in a slot under a name."""
    slots = plugins.installed().parts
    base = hookspecs.SLOTS[slot]
    part = plugins.Part(name, slot, f"lightrec_clinic.failing:{kind}", "lightrec-clinic 1.0", base)
    monkeypatch.setitem(slots[slot], name, part)


def named(kind, task, error="JSONDecodeError: "):
    """What is said of a part that failed."""
    words = rf"^{kind} of lightrec-clinic 1\.0 could not {task}\. It raised {error}"
    return pytest.raises(PluginError, match=rf"{words}.*failing\.py, line \d+\)\.$")


TRAINING, TABLE = "do its part in the stage ranker", "ValueError: a table with the columns"


@pytest.mark.parametrize(
    ("stage", "words", "kind", "said"),
    [
        ("ranker", "--model.init_args.loss=FailingLoss", "FailingLoss", [TRAINING]),
        ("ranker", "--model.init_args.item_models=[FailingModel]", "FailingModel", [TRAINING]),
        ("evaluate", "--evaluators=[Ragged]", "Ragged", ["evaluate the run", TABLE]),
    ],
)
def test_a_part_that_fails_in_a_stage_is_named(clinic, stage, words, kind, said):
    recipe, settings = recipes.find(f"generic/{stage}")[1], [*SETTINGS[stage], words]
    with named(kind, *said):
        execute(Stage(stage, recipe, clinic / stage, settings))


def test_what_is_added_after_training_overwrites_no_metric(clinic, monkeypatch):
    put(monkeypatch, "after_training", "Overwriting", "Overwriting")
    recipe, before = recipes.find("generic/ranker")[1], (clinic / "ranker" / "metrics.json")
    was = before.read_bytes()
    message = "^Overwriting of lightrec-clinic 1.0 gives the metric 'validation/ndcg@10', which"
    with pytest.raises(PluginError, match=message):
        execute(Stage("ranker", recipe, clinic / "ranker", SETTINGS["ranker"]))
    assert before.read_bytes() == was


@needs("worlds")
def test_a_learner_a_maker_of_policies_and_rules_that_fail_are_named(clinic, monkeypatch, tmp_path):
    recipe = tmp_path / "policy.yaml"
    recipe.write_text(POLICY)
    put(monkeypatch, "learners", "ppo", "FailingLearner")
    stage = Stage("policy", recipes.find(str(recipe))[1], tmp_path / "out" / "policy")
    task = "do its part in the stage policy"
    with named("FailingLearner", task, "RuntimeError: .*'no_such_thing'"):
        execute(stage)
    put(monkeypatch, "policy_makers", "fall", "FailingMaker")
    with named("FailingMaker", "make its policy"):
        simulation("Waiting", 8, 0, {}).policy("fall")
    put(monkeypatch, "list_parts", "rules", "FailingRules")
    with named("FailingRules", "read the run's standing rules"):
        load(clinic).recommend("u3")


VISITS = """\
reads: [data]
trainer: {max_epochs: 2}
model: {class_path: MeanVisits}
data: {class_path: VisitData}
"""
REPORT = """\
reads: [data, visits]
function: lightrec_clinic.stage.report
shows: [said.txt]
digits: 2
"""


def test_a_folder_of_recipes_adds_stages_that_read_each_other(
    clinic, lightrec_tiny_files, tmp_path, capsys
):
    folder = tmp_path / "own"
    folder.mkdir()
    for name, text in (("set", "over: generic\n"), ("visits", VISITS), ("above", REPORT)):
        (folder / f"{name}.yaml").write_text(text)
    log, items = lightrec_tiny_files
    inputs = {"out": tmp_path / "run", "log": log, "items": items, "until": "above"}
    out = run(str(folder), **inputs, overrides={"above": ["--digits=3"]})
    mean = Run(out).metrics("visits")["mean"]
    visits = Run(out).data.without_cold.popularity()[1:]
    assert mean == pytest.approx(float(np.log1p(visits).mean()), rel=0.05)
    assert (out / "said.txt").read_text() == f"48 items, {mean:.3f}\n"
    assert Run(out).stamp("above")["inputs"].keys() == {"data", "visits"}
    capsys.readouterr()
    run(str(folder), **inputs, overrides={"visits": ["--trainer.max_epochs=1"]})
    printed = capsys.readouterr().err
    for line in ("[1/3] data: up to date\n", "[2/3] visits\n", "[3/3] above\n"):
        assert line in printed
