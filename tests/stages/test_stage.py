"""Stages appear whole, and know whether they are up to date."""

from dataclasses import replace

import pytest

from lightrec.data.files import FORMAT_VERSION
from lightrec.stages.stage import Stage


@pytest.fixture
def recipe():
    return {"k_core": 5}


def finish(stage, text="done"):
    stage.prepare_work()
    with stage.output(0) as folder:
        (folder / "result.txt").write_text(text)


def test_a_stage_is_current_until_anything_that_goes_in_changes(tmp_path, recipe):
    log = tmp_path / "log.csv"
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


def test_folders_that_hold_values_in_their_names_change_with_them_and_files_do_not(
    tmp_path, recipe
):
    log = tmp_path / "year=2024"
    for day in ("day=01", "day=02"):
        (log / day).mkdir(parents=True)
        (log / day / "part.parquet").write_text(f"{day} of events")
    stage = Stage("data", recipe, tmp_path / "run" / "data", sources={"log": log})
    finish(stage)
    (log / "day=02").rename(log / "day=03")
    assert not stage.is_current()
    (log / "day=03").rename(log / "day=02")
    assert stage.is_current()
    moved = replace(stage, sources={"log": log.rename(tmp_path / "year=2025")})
    assert not moved.is_current()
    moved = replace(stage, sources={"log": moved.sources["log"].rename(tmp_path / "year=2024")})
    assert moved.is_current()
    file = tmp_path / "log.csv"
    file.write_text("user,item\n")
    finish(replace(stage, sources={"log": file}))
    assert replace(stage, sources={"log": file.rename(tmp_path / "my.log.csv")}).is_current()
    renamed = (tmp_path / "my.log.csv").rename(tmp_path / "log.tsv")
    assert not replace(stage, sources={"log": renamed}).is_current()  # it may be read otherwise


def test_a_store_of_another_format_is_not_current(tmp_path, recipe, monkeypatch):
    data = Stage("data", recipe, tmp_path / "run" / "data")
    ranker = Stage("ranker", {"reads": ["data"]}, tmp_path / "run" / "ranker")
    finish(data)
    finish(ranker)
    monkeypatch.setattr("lightrec.stages.stage.FORMAT_VERSION", FORMAT_VERSION - 1)
    assert not data.is_current()
    assert ranker.is_current()
    finish(data)
    assert data.is_current()
    assert not ranker.is_current()


def test_nothing_half_written_appears(tmp_path, recipe):
    stage = Stage("data", recipe, tmp_path / "run" / "data")
    finish(stage, "old")

    def fail():
        stage.prepare_work()
        with stage.output(0) as folder:
            (folder / "result.txt").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (stage.out / "result.txt").read_text() == "old"


def test_work_is_kept_only_for_the_same_inputs(tmp_path, recipe):
    stage = Stage("data", recipe, tmp_path / "run" / "data")
    assert not stage.prepare_work()
    (stage.work / "last.ckpt").write_text("epoch 3")
    assert stage.prepare_work()
    assert (stage.work / "last.ckpt").exists()
    recipe["k_core"] = 2
    assert not stage.prepare_work()
    assert not (stage.work / "last.ckpt").exists()
