"""Stages appear whole, and know whether they are up to date."""

import pytest

from lightrec.data.files import FORMAT_VERSION
from lightrec.stages.stage import Stage


def finish(stage, text="done"):
    stage.prepare_work()
    with stage.output(0) as folder:
        (folder / "result.txt").write_text(text)


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
            (folder / "result.txt").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert (stage.out / "result.txt").read_text() == "old"


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
