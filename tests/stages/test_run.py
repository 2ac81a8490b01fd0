"""A run from files to report: complete, resumable, the same twice, and redone as a whole."""

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch
from lightrec_testing import tiny
from safetensors.torch import load_file

from lightrec import load
from lightrec.__main__ import commands, main
from lightrec.api import Run, Stage
from lightrec.data.files import FORMAT_VERSION
from lightrec.errors import RunError
from lightrec.ranking.module import RankingModule
from lightrec.stages import recipes, redo
from lightrec.stages import run as pipeline
from lightrec.stages import train as training
from lightrec.stages.run import command_of, run
from lightrec.stages.stage import plugin_marks

DEFAULT = ("data", "text", "ranker", "users_a", "users_b", "policy", "evaluate", "final")


def test_every_stage_leaves_its_files_and_is_skipped_later(tiny_run, lightrec_tiny_files, capsys):
    assert {p.name for p in tiny_run.iterdir() if p.is_dir()} == {*DEFAULT, "logs"}
    assert (tiny_run / "report.png").read_bytes().startswith(b"\x89PNG")
    before = (tiny_run / "metrics.json").read_bytes()
    log, items = lightrec_tiny_files
    run("generic", out=tiny_run, log=log, items=items, overrides=tiny.FAST)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("] ")[2] for line in lines] == [f"{s}: up to date" for s in DEFAULT]
    assert (tiny_run / "metrics.json").read_bytes() == before


def test_what_is_served_goes_on_from_what_was_judged_with_all_events(tiny_run):
    run = Run(tiny_run)
    assert run.served.weights == run.blend.weights
    served, judged = (each.ranker.item_vectors() for each in (run.served, run.blend))
    assert torch.cosine_similarity(served[1:], judged[1:]).mean() > 0.9
    assert not torch.equal(served, judged)


TRAINED = ("ranker", "users_a", "users_b", "policy")
KILLS = int(os.environ.get("LIGHTREC_TEST_KILLS", "8"))


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_killed_at_random_moments_the_metrics_end_identical(devices, lightrec_tiny_files, tmp_path):
    """All processes at once, as by SIGKILL; where the run ends before all kills, another begins."""
    log, items = lightrec_tiny_files
    several = [f"--trainer.devices={devices}", "--trainer.strategy=ddp"] * (devices > 1)
    settings = tiny.FAST | {name: [*tiny.FAST[name], *several] for name in TRAINED}
    options = {"log": str(log), "items": str(items)}
    words = shlex.split(command_of("generic", options, [], settings))[1:]
    command, chance = [sys.executable, "-m", "lightrec", *words, "--out"], random.Random(devices)

    def ends(out, seconds=None):
        process = subprocess.Popen([*command, str(out)], start_new_session=True)
        try:
            assert process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return False
        return True

    assert ends(tmp_path / "unbroken")
    expected, kills, number = (tmp_path / "unbroken" / "metrics.json").read_bytes(), 0, 0
    while kills < KILLS or not (tmp_path / f"{number}" / "metrics.json").exists():
        out = tmp_path / f"{number}"
        if ends(out, chance.uniform(3, 20) if kills < KILLS else None):
            assert (out / "metrics.json").read_bytes() == expected
            number += kills < KILLS
        else:
            kills += 1


GOOD = "user,item,time\n" + "".join(f"u{n % 3},i{n % 4},{1_700_000_000 + n}\n" for n in range(24))


def contents(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ("user,item,time\na,x,soon\n", (), "column 'time': 'soon' is not a point in time"),
        ("user,item\na,x\n", ("--data.k_core", "9"), "Nothing is left of the log's 1 events"),
    ],
)
def test_nothing_is_left_of_a_refused_input(content, more, message, tmp_path, capsys):
    log, out = tmp_path / "log.csv", tmp_path / "runs" / "mine"
    line = ["run", "generic", "--log", str(log), "--out", str(out), "--until", "data"]
    log.write_text(content)
    assert main([*line, *more]) == 2
    assert message in capsys.readouterr().err
    assert contents(tmp_path) == {"log.csv"}
    log.write_text(GOOD)
    assert main([*line, "--data.k_core", "1"]) == 0
    before = contents(out)
    assert "data/meta.json" in before
    log.write_text(content)
    assert main([*line, *more]) == 2
    assert contents(out) == before


AVERAGE = "--trainer.callbacks=[{class_path: EMAWeightAveraging, init_args: {decay: 0.9}}]"
# From a random start every epoch is better than the one before, so that the last is kept.
SLOW = ["--model.init_args.start=random", "--model.init_args.item_models=[Popularity]"]


@pytest.fixture(scope="module")
def encoder(tiny_run, tmp_path_factory):
    """The ranker stage over the tiny log with further settings, the stages that it reads done."""

    def make(settings):
        out = tmp_path_factory.mktemp("encoder") / "ranker"
        for name in ("data", "text"):
            (out.parent / name).symlink_to(tiny_run / name)
        recipe = recipes.load("generic").resolved("ranker")
        return Stage("ranker", recipe, out, [*tiny.FAST["ranker"], *SLOW, *settings])

    return make


def weights(stage):
    training.train(stage)
    return load_file(stage.out / "model.safetensors")


@pytest.fixture(scope="module")
def plain(encoder):
    """The weights without further settings."""
    return weights(encoder([]))


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "epoch"), [([], 0), ([], 1), ([AVERAGE], 0)])
def test_a_stopped_stage_ends_where_an_unbroken_one_does(
    encoder, plain, monkeypatch, settings, epoch
):
    expected = weights(encoder(settings)) if settings else plain
    broken = encoder(settings)

    def stop(self, trainer, module, outputs, batch, index):
        if trainer.current_epoch == epoch + 1:
            raise SystemExit("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(training.EpochSeed, "on_train_batch_end", stop, raising=False)
        with pytest.raises(SystemExit):
            training.train(broken)
    assert not broken.out.exists()
    assert torch.load(broken.work / "last.ckpt", weights_only=True)["epoch"] == epoch
    resumed = weights(broken)
    assert all(torch.equal(resumed[name], value) for name, value in expected.items())
    assert all(torch.equal(plain[n], value) for n, value in expected.items()) == (not settings)


@pytest.mark.slow
def test_what_a_stage_draws_after_training_is_the_same_where_that_was_done_before(
    encoder, monkeypatch
):
    broken, drawn = encoder([]), []

    def stop(module, folder):
        drawn.append(torch.rand(()))
        raise SystemExit("stopped")

    monkeypatch.setattr(RankingModule, "write", stop)
    for _ in range(2):  # the second trains no epoch
        with pytest.raises(SystemExit):
            training.train(broken)
    assert drawn[0] == drawn[1]


TWO = {"data": {"k_core": 5}, "ranker": {"k_core": 5, "reads": ["data"]}}


def finish(stage, text="done"):
    stage.prepare_work()
    with stage.output(0) as folder:
        (folder / "word").write_text(text)


@pytest.fixture
def waiting(tmp_path):
    """A run of two stages, whose new ones wait."""

    def make(out, word):
        for name, recipe in TWO.items():
            finish(Stage(name, recipe, out / name, [f"--word={word}"]), word)
            (out / "logs" / name).mkdir(parents=True, exist_ok=True)
            (out / "logs" / name / "curve").write_text(word)

    out = tmp_path / "run"
    make(out, "old")
    make(redo.prepare(out, ["data", "ranker"], []), "new")
    return out


def words(out):
    names = ("data/word", "ranker/word", "logs/data/curve", "logs/ranker/curve")
    return [(out / name).read_text() for name in names if (out / name).is_file()]


@pytest.mark.parametrize("stop", range(9))
def test_stopped_between_any_two_renames_the_exchange_is_completed(waiting, stopping, stop):
    assert words(waiting) == ["old"] * 4
    with stopping(stop), pytest.raises(KeyboardInterrupt):
        redo.exchange(waiting, ["data", "ranker"])
    stages = [path.read_text() for path in waiting.glob("[dr]*/word")]
    together = len(stages) == 2 and len({*stages}) == 1
    with nullcontext() if together else pytest.raises(RunError):
        Run(waiting).check("data", "ranker")
    redo.complete(waiting)
    # Nothing is exchanged before it is noted that it will be.
    assert words(waiting) == (["old"] if stop == 0 else ["new"]) * 4
    if stop:
        assert not list((waiting / ".work").iterdir())


@pytest.mark.slow
def test_the_old_run_answers_while_it_is_redone(
    tiny_run, lightrec_tiny_files, tmp_path, monkeypatch, capsys
):
    out, log = shutil.copytree(tiny_run, tmp_path / "run"), tmp_path / "log.csv"
    # In the order of the names another item comes first, and all indices move.
    log.write_text(lightrec_tiny_files[0].read_text().replace(",i47,", ",a,"))
    before = load(out, "blend").recommend(user="u3", k=3)
    execute = pipeline.execute
    answers = []

    def go(until=None):
        items = lightrec_tiny_files[1]
        run("generic", out=out, log=log, items=items, until=until, overrides=tiny.FAST)

    def stop(stage, anew=False):
        if stage.name == "users_a":
            answers.append(load(out, "blend").recommend(user="u3", k=3))
            raise KeyboardInterrupt
        execute(stage, anew)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "execute", stop)
        with pytest.raises(KeyboardInterrupt):
            go()
    assert answers[0].equals(before)
    assert Run(out).stamp("data") == Run(tiny_run).stamp("data")
    assert load(out, "policy").recommend(user="u3", k=3).height == 3
    printed = capsys.readouterr().err
    # The ranking is known before the other stages begin.
    assert printed.index("held-out log ") < printed.index("[4/8] users_a")
    go(until="ranker")
    lines = capsys.readouterr().err.splitlines()
    names = ("data", "text", "ranker")
    assert lines[:3] == [f"[{n}/3] {name}: up to date" for n, name in enumerate(names, 1)]
    assert "a" in load(out, "blend").store.catalog["item"].to_list()
    assert not (out / ".work/next").exists()
    assert f"{out} still holds users_a, users_b, policy, evaluate, final, made from" in lines[-1]
    assert "The same command with --until final makes them again." in lines[-1]
    with pytest.raises(RunError, match="The stage policy in"):
        load(out, "policy")
    # Where a later version answers, nothing of the first one takes its place.
    (out / "versions/2").mkdir(parents=True)
    (out / "versions/2/version.json").write_text('{"version": 2}')
    (out / "current").symlink_to("versions/2")
    monkeypatch.setattr(pipeline, "publish", lambda *_: pytest.fail("It was published."))
    go(until="ranker")
    assert f"{out} was updated since: version 2 answers. " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../outside", "{outside}", "..", "", ".work", "versions", 5])
def test_a_note_of_an_exchange_names_nothing_but_stages(waiting, tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    shutil.rmtree(waiting / ".work")
    (waiting / ".work").mkdir()
    named = name.format(outside=outside) if isinstance(name, str) else name
    (waiting / redo.NOTE).write_text(json.dumps(["data", named]))
    with pytest.raises(RunError, match="and no stages"):
        redo.complete(waiting)
    assert words(waiting) == ["old"] * 4
    assert [path.read_text() for path in outside.iterdir()] == ["kept"]


WRITING = (
    "run generic --out {run}",
    "update {run} --log {run}/metrics.json",
    "runs promote {run} 1",
    "fit -c generic/ranker --out {run}/ranker",
    "test -c generic/ranker --out {run}/ranker",
    "tune -c generic/ranker --run {run} --out {run}",
)


@pytest.mark.parametrize("line", WRITING)
def test_two_commands_do_not_write_into_one_run(waiting, monkeypatch, capsys, line):
    if not {line.split()[0], " ".join(line.split()[:2])} & commands().keys():
        pytest.skip("The command's package is not installed.")
    (waiting / "metrics.json").write_text("{}")
    (waiting / "ranker" / "model.ckpt").touch()
    with redo.alone(waiting, "update"):
        # What a command calls, and starts, is its own; another process is not.
        with redo.alone(waiting, "runs promote"):
            pass
        monkeypatch.delenv(redo.HELD)
        assert main(line.format(run=waiting).split()) == 2
        assert (
            f"Another command writes into {waiting}: lightrec update (process {os.getpid()}). "
            "Wait until it ends."
        ) in capsys.readouterr().err
        assert Run(waiting).stamp("data")
        monkeypatch.setenv(redo.HELD, str(waiting))
    assert not (waiting / redo.LOCK).exists()
    with redo.alone(waiting, "run"):
        pass


def test_a_stage_is_current_until_anything_that_goes_in_changes(tmp_path):
    log, recipe = tmp_path / "log.csv", {"k_core": 5}
    log.write_text("user,item\n")
    stage = Stage("data", recipe, tmp_path / "run" / "data", sources={"log": log})
    assert not stage.is_current()
    finish(stage)
    assert stage.is_current()
    assert not Stage("data", recipe, stage.out, ["--k_core", "3"], {"log": log}).is_current()
    log.write_text("user,item\n1,2\n")
    assert not stage.is_current()
    finish(stage)
    recipe["k_core"] = 4
    assert not stage.is_current()


def test_a_store_of_another_format_is_not_current(tmp_path, monkeypatch):
    data = Stage("data", {}, tmp_path / "run" / "data")
    ranker = Stage("ranker", {"reads": ["data"]}, tmp_path / "run" / "ranker")
    finish(data)
    finish(ranker)
    monkeypatch.setattr("lightrec.stages.stage.FORMAT_VERSION", FORMAT_VERSION - 1)
    assert not data.is_current()
    assert ranker.is_current()
    finish(data)
    assert data.is_current()
    assert not ranker.is_current()


def test_nothing_half_written_appears(tmp_path):
    stage = Stage("data", {}, tmp_path / "run" / "data")
    finish(stage, "old")

    def stop():
        stage.prepare_work()
        with stage.output(0) as folder:
            (folder / "word").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert (stage.out / "word").read_text() == "old"


def test_work_is_kept_only_for_the_same_inputs(tmp_path):
    recipe = {"k_core": 5}
    stage = Stage("data", recipe, tmp_path / "run" / "data")
    assert not stage.prepare_work()
    (stage.work / "last.ckpt").write_text("epoch 3")
    assert stage.prepare_work()
    assert (stage.work / "last.ckpt").exists()
    recipe["k_core"] = 2
    assert not stage.prepare_work()
    assert not (stage.work / "last.ckpt").exists()


FILES = {
    "__init__.py": "",
    "rewards.py": "from mine.maths import square\nfrom . import words\n",
    "maths.py": "import mine.deep.numbers\n",
    "deep/__init__.py": "",
    "deep/numbers.py": "ONE = 1\n",
    "words.py": "",
    "evaluators.py": "",
    "readers.py": "",
}
HOOKS = """
from lightrec.hookspecs import gives
lightrec_rewards = gives({"Calm": "mine.rewards:Calm"})
lightrec_evaluators = gives({"Calmness": "mine.evaluators:Calmness"})
lightrec_readers = gives({"ods": "mine.readers:Sheets"})
lightrec_domains = gives({"calm": "mine.evaluators:Domain"})
"""
POLICY = "{'data': {'init_args': {'reward': 'Calm', 'data': 'runs/calm/data'}}}"
EVALUATE = "{'evaluators': [{'class_path': 'mine.evaluators.Calmness'}]}"


@pytest.mark.parametrize(
    ("settings", "readers", "depends"),
    [
        (POLICY, False, {"rewards.py", "maths.py", "deep/numbers.py", "words.py", "__init__.py"}),
        (EVALUATE, False, {"evaluators.py"}),
        ("{'function': 'mine.words.count', 'reads': ['data']}", False, {"words.py"}),
        ("{'domain': 'calm'}", True, {"evaluators.py", "readers.py"}),
        ("{'domain': 'calmer', 'out': 'runs/calm/data'}", False, set()),
        ("{} ['--evaluators+=Calmness']", False, {"evaluators.py"}),
    ],
)
def test_only_what_a_stage_names_and_that_imports_counts(
    lightrec_plugins, settings, readers, depends
):
    package = lightrec_plugins.folder / "mine"
    (package / "deep").mkdir(parents=True)
    for name, text in FILES.items():
        (package / name).write_text(text)
    lightrec_plugins.add("mine", HOOKS)
    before = plugin_marks(settings, readers)
    assert set(before) <= {"mine"}
    changing = set()
    for name, text in FILES.items():
        (package / name).write_text(text + "# edited\n")
        if plugin_marks(settings, readers) != before:
            changing.add(name)
        (package / name).write_text(text)
    assert changing == depends
