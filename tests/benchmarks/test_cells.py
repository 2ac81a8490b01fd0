"""Every cell that ships: what it names is there, and its settings are those of its recipes."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import logs, run
from lightrec.__main__ import main
from lightrec.stages import recipes
from lightrec.stages import run as stages
from lightrec.stages.stage import Stage

ROOT = Path(run.__file__).parent
DOMAINS = {
    "ranked": [],
    "ranker_course": ["video", "--until", "ranker"],
    "blend": ["generic", "--until", "ranker"],
    "language": ["generic", "--until", "ranker"],
    "generate": ["generator-alone"],
}
"""What a measure adds to the options of `lightrec run`."""


def lines(name):
    """The command lines of `lightrec run` in a benchmark, each once."""
    found = {}
    for cell in run.load(name).cells:
        words = [*cell.command]
        if words[:2] == [run.LIGHTREC, "run"]:
            found[tuple(words[2:-4])] = cell.key
        elif words[1:3] == ["-m", "benchmarks.measure"] and words[3] in DOMAINS:
            options = json.loads(words[-1]).get("options", [])
            found[(*DOMAINS[words[3]][:1], *options, *DOMAINS[words[3]][1:])] = cell.key
    return found


@pytest.mark.parametrize("name", run.names())
def test_what_a_cell_names_is_there(name):
    made = run.load(name)
    assert len({cell.key for cell in made.cells}) == len(made.cells)
    for cell in made.cells:
        words = cell.command
        if cell.peer:
            assert (ROOT / "peers" / "requirements" / f"{cell.peer}.txt").is_file()
            assert Path(words[1]).is_file()
        elif words[2] == "benchmarks.measure":
            assert (ROOT / "measure" / f"{words[3]}.py").is_file()
        known = {*logs.WRITERS, "beauty", "ml-100k"}
        assert {each.partition(" ")[0] for each in cell.files} <= known


def test_the_results_keep_their_limits():
    run.hold(run.names())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in run.names() if lines(name)])
def test_settings_are_those_of_the_recipes(name, monkeypatch, tmp_path):
    class Planned(Exception):
        """Nothing is run."""

    def planned(domain, *, overrides, until=None, offline=False, **_):
        values = stages.values_of(overrides.pop(stages.VALUES, []))
        _, found = stages.find_recipes(domain, ["far"] * offline, values, until)
        for stage in stages.plan(found, tmp_path, {}, 0, overrides, until):
            stages.check(stage)
        raise Planned

    monkeypatch.setattr(stages, "run", planned)
    for words in lines(name):
        with pytest.raises(Planned):
            main(["run", *words])


@pytest.mark.slow
def test_settings_of_learners_are_those_of_their_recipes(tmp_path):
    from benchmarks.measure.worlds import WORLDS

    cells = [c for n in ("policies_asked", "policies_worlds") for c in run.load(n).cells]
    settings = [json.loads(cell.command[-1]) for cell in cells]
    known = {(s["world"], s["learner"], *s["options"]) for s in settings if "learner" in s}
    for world, learner, *options in known:
        own = [*WORLDS[world].overrides(learner), *options]
        stages.check(Stage("policy", recipes.find(f"worlds/{learner}")[1], tmp_path, own))


def test_in_a_chain_two_of_three_events_follow_from_the_one_before():
    users, items = 300, 60
    log = logs.chained(3, users, items)
    followers = np.random.default_rng(3).integers(0, items, (items, 4))
    user, item = log["user"].to_numpy(), log["item"].to_numpy()
    follows = (followers[item[:-1]] == item[1:, None]).any(1)[user[1:] == user[:-1]]
    # What was known before is left out, which hits followers and others alike; a popular item may
    # be a follower, too.
    assert follows.mean() == pytest.approx(2 / 3, abs=0.06)
    assert not log.select("user", "item").is_duplicated().any()
