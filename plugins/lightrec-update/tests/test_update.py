"""A run is updated: its new version continues from the old one and answers by one rename."""

import json
import shutil
from contextlib import nullcontext

import polars as pl
import pytest
from lightrec_update import update as updating
from lightrec_update import versions
from lightrec_update.update import update

import lightrec
from lightrec.__main__ import main
from lightrec.errors import LightrecError, RecipeError, RunError
from lightrec.evaluation.evidence import favoured_by
from lightrec.run import Run


@pytest.fixture(scope="module")
def updated(tiny_run, tmp_path_factory):
    """A copy of the tiny run, updated with a day's events, among them a new user's and item's."""
    folder = tmp_path_factory.mktemp("updated")
    run, day = shutil.copytree(tiny_run, folder / "run"), folder / "day.csv"
    rows = [("u3", "i0"), ("u3", "a"), ("new", "i0"), ("new", "i1"), ("new", "a"), ("new", "i2")]
    times = [f"2024-02-0{n + 1}T12:00:00" for n in range(len(rows))]
    new = pl.DataFrame(rows, ["customer", "sku"], orient="row")
    new.with_columns(pl.Series("date", times)).write_csv(day)
    items = folder / "items.csv"
    items.write_text("sku,title,kind\na,apple tea,tea\n")
    assert update(run, log=[day], items=items) == 2
    return run, day


def test_the_new_version_has_the_events_the_user_and_the_item(updated, tiny_run):
    run, _ = updated
    old, new = Run(tiny_run), Run(run)
    assert (new.version, new.name) == (2, "run, version 2")
    assert len(new.data) == len(old.data) + 6
    assert set(new.data.user_ids) - set(old.data.user_ids) == {"new"}
    titles = dict(new.data.catalog.select("item", "title").iter_rows())
    assert titles["a"] == "apple tea"
    # Item models have the settings that were chosen before.
    chosen = [json.loads((r.folder("ranker") / "blend.json").read_text()) for r in (old, new)]
    assert chosen[0]["item_models"] == chosen[1]["item_models"]
    assert chosen[0]["l2_of_texts"] == chosen[1]["l2_of_texts"]


def test_the_new_version_ranks_as_well_and_its_report_is_at_the_top(updated, tiny_run):
    run, _ = updated
    top = json.loads((run / "metrics.json").read_text())
    assert top == Run(run).metrics()
    assert top["test/events"] == 61
    stamps = [r.stamp("evaluate")["recipe"] for r in (Run(run), Run(tiny_run))]
    now, before = ([each["class_path"] for each in stamp["evaluators"]] for stamp in stamps)
    assert now == [name for name in before if name != "SimulatedSessions"]
    assert top["test/ndcg@10"] > Run(tiny_run).metrics()["test/ndcg@10"] - 0.1
    assert (top["recommend/by"], top["recommend/reason"]) == favoured_by(run)
    assert top["recommend/reason"].endswith("That was measured in version 1.")
    assert "run, version 2" in (page := (run / "report.html").read_text())
    assert "of version 1: the policy, the tuning of texts, user model A, user model B." in page


def test_what_is_known_is_nothing_new(updated, tmp_path, capsys):
    run, day = updated
    again = tmp_path / "again.csv"
    again.write_text(day.read_text().rstrip())
    empty = tmp_path / "empty.csv"
    empty.write_text("customer,sku,date\n")
    for log in ([day], [again], [empty]):
        assert update(run, log=log) is None
    assert main(["update", str(run), "--log", str(day), "--log", str(empty)]) == 0
    assert "There is nothing new: version 2" in capsys.readouterr().out
    assert sorted(path.name for path in (run / "versions").iterdir()) == ["2"]


def test_versions_are_listed_promoted_and_rolled_back(updated, capsys):
    run, _ = updated
    listed = [(row["version"], row["answers"]) for row in versions.listed(run)]
    assert listed == [(1, False), (2, True)]
    held = lightrec.load(run, by="blend")
    assert main(["runs", "rollback", str(run)]) == 0
    assert Run(run).version == 1
    assert json.loads((run / "metrics.json").read_text()) == Run(run).metrics()
    # Who has opened a version keeps it.
    assert held.recommend("new", k=1).height == 1
    assert main(["runs", "promote", str(run), "3"]) == 2
    assert "has no version 3. It has: 1, 2." in capsys.readouterr().err
    assert main(["runs", "rollback", str(run)]) == 2
    assert main(["runs", "promote", str(run), "2"]) == 0


def split(folder, name):
    (folder / "data" / "meta.json").write_text(json.dumps({"settings": {"split": name}}))


@pytest.fixture
def cheap(tmp_path, monkeypatch):
    """A run of one stage whose updates only note what they are made of."""

    def stage(folder, word):
        (folder / "data" / updating.READ).mkdir(parents=True, exist_ok=True)
        facts = {"fingerprint": word, "overrides": [], "recipe": {}}
        for name in ("data", "ranker"):
            (folder / name).mkdir(exist_ok=True)
            (folder / name / "stage.json").write_text(json.dumps(facts))
        split(folder, "leave-one-out")

    def make(run, present, about, sources, overrides):
        stage(run / updating.NEXT, "new")
        (run / updating.NEXT / "version.json").write_text(json.dumps(about))

    monkeypatch.setattr(updating, "make", make)
    stage(tmp_path / "run", "old")
    (tmp_path / "log.csv").write_text("more")
    return tmp_path / "run", tmp_path / "log.csv"


@pytest.mark.parametrize("stop", range(3))
def test_stopped_between_any_two_renames_one_version_answers_and_the_next_goes_on(
    cheap, stopping, stop
):
    run, log = cheap
    with stopping(stop), pytest.raises(KeyboardInterrupt) if stop < 2 else nullcontext():
        update(run, log=[log])
    assert Run(run).stamp("ranker")["fingerprint"] == ("new" if stop == 2 else "old")
    assert update(run, log=[log]) == (None if stop == 2 else 2)
    assert Run(run).stamp("ranker")["fingerprint"] == "new"
    assert versions.numbers(run) == [1, 2]


def test_old_versions_are_removed_but_never_the_first_or_the_one_that_answers(cheap):
    run, log = cheap
    for number in range(2, 7):
        log.write_text(f"more {number}")
        update(run, log=[log], keep=2)
    assert versions.numbers(run) == [1, 5, 6]
    versions.promote(run, 1)
    with pytest.raises(RunError, match="there is none before it"):
        versions.before(run)
    # Numbers are not given twice, and the file that version 6 was made from is new to version 1.
    assert update(run, log=[log], keep=1) == 7
    assert versions.numbers(run) == [1, 7]


def test_a_version_that_is_loaded_stays_until_nobody_has_it(cheap):
    run, log = cheap
    loaded = None
    for number in (2, 3, 4):
        log.write_text(f"more {number}")
        assert update(run, log=[log], keep=1) == number
        if loaded is None:
            loaded = Run(run)
            loaded.hold()
        assert loaded.has("ranker")
        assert versions.numbers(run) == [1, *dict.fromkeys((2, number))]
    del loaded
    assert versions.prune(run, 1) == [2]


def test_settings_of_other_stages_are_refused(cheap):
    run, log = cheap
    with pytest.raises(RecipeError, match="none called 'policy'"):
        update(run, log=[log], overrides={"policy": []})
    with pytest.raises(RecipeError, match="Say what is new"):
        update(run)
    split(run, "item-cold")
    with pytest.raises(RunError, match="among items that its ranker has learned"):
        update(run, log=[log])
    shutil.rmtree(run / "data" / updating.READ)
    with pytest.raises(RunError, match="has not kept the log"):
        update(run, log=[log])


@pytest.mark.parametrize("name", ["../outside/kept", "{outside}/kept", "data", "versions"])
def test_what_a_stage_shows_lands_in_the_run_alone(cheap, name):
    run, _ = cheap
    outside = run.parent / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    facts = {"fingerprint": "old", "recipe": {"shows": [name.format(outside=outside)]}}
    (run / "evaluate").mkdir()
    (run / "evaluate" / "kept").write_text("other")
    (run / "evaluate" / "stage.json").write_text(json.dumps(facts))
    with pytest.raises(LightrecError, match="shows"):
        versions.promote(run, 1)
    assert (outside / "kept").read_text() == "kept"
    assert list((run / "data").iterdir())


@pytest.mark.parametrize("link", ["../outside", "{outside}", "data", "versions/.next"])
def test_the_version_that_answers_is_one_of_the_run(cheap, link):
    run, _ = cheap
    shutil.copytree(run / "data", run.parent / "outside" / "data")
    (run / "current").unlink(missing_ok=True)
    (run / "current").symlink_to(link.format(outside=run.parent / "outside"))
    with pytest.raises(RunError, match="and not to a version such as"):
        Run(run)
    versions.promote(run, 1)
    assert Run(run).version == 1
