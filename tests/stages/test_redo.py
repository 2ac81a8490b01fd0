"""While a run is redone the old one answers, and its new stages appear together."""

import json
import os
import shutil
from contextlib import nullcontext

import pytest
from lightrec_testing import tiny

from lightrec import load
from lightrec.__main__ import commands, main
from lightrec.api import Run, Stage
from lightrec.errors import RunError
from lightrec.stages import redo
from lightrec.stages import run as pipeline
from lightrec.stages.run import run

RECIPES = {"data": {"k_core": 5}, "ranker": {"k_core": 5, "reads": ["data"]}}


@pytest.fixture
def waiting(tmp_path):
    """A run of two stages, whose new ones wait."""

    def make(out, word):
        for name, recipe in RECIPES.items():
            stage = Stage(name, recipe, out / name, [f"--word={word}"])
            stage.prepare_work()
            (out / "logs" / name).mkdir(parents=True, exist_ok=True)
            (out / "logs" / name / "curve").write_text(word)
            with stage.output(0) as folder:
                (folder / "word").write_text(word)

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
