"""One stage by its LightningCLI recipe."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from lightrec_testing.tiny import FAST

from lightrec.__main__ import main
from lightrec.ranking.module import RankingModule
from tests.processes import apart


@pytest.fixture
def data(tiny_run, tmp_path, monkeypatch):
    """A run folder whose data stage is done, in the folder where recipes expect it."""
    for stage in ("data", "text"):
        shutil.copytree(tiny_run / stage, tmp_path / "runs" / "generic" / stage)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs" / "generic"


FILES = {"model.safetensors", "model.ckpt", "items.safetensors", "stage.json"}


def test_fit_leaves_the_stage_where_the_recipe_says(data, capsys):
    words = ["-c", "generic/ranker", *FAST["ranker"]]
    assert main(["validate", *words]) == 2
    assert "train first with `lightrec fit`" in capsys.readouterr().err
    assert main(["fit", *words]) == 0
    assert {path.name for path in (data / "ranker").iterdir()} >= FILES
    assert main(["test", *words]) == 0
    assert "test/ndcg@10" in capsys.readouterr().out


def test_a_training_that_is_terminated_says_so(data, monkeypatch, capsys):
    def stop(*_):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(RankingModule, "on_train_batch_end", stop)
    assert main(["fit", "-c", "generic/ranker", *FAST["ranker"]]) == 130
    assert "The same command continues where this one was." in capsys.readouterr().err
    assert not (data / "ranker").exists()


@pytest.mark.parametrize(
    "setting", ["logger=false", "use_distributed_sampler=true", "default_root_dir=elsewhere"]
)
def test_what_a_stage_cannot_follow_is_refused_by_name(data, setting, capsys):
    assert main(["fit", "-c", "generic/ranker", f"--trainer.{setting}"]) == 2
    name = setting.partition("=")[0]
    assert f"The setting trainer.{name} cannot be" in capsys.readouterr().err
    assert not (data / "ranker").exists()


def test_a_training_may_end_within_an_epoch(data):
    settings = ["--trainer.max_steps=1", "--model.init_args.item_models=null"]
    assert main(["fit", "-c", "generic/ranker", *FAST["ranker"], *settings]) == 0
    assert (data / "ranker" / "model.safetensors").is_file()


def test_a_ranker_is_not_shared_out_and_says_how_large_it_is(data, capsys):
    assert main(["fit", "-c", "generic/ranker", "--trainer.strategy=fsdp2"]) == 2
    said = capsys.readouterr().err
    assert "FSDP2 would save no memory in the stage ranker" in said
    assert "they take 0.0 GiB" in said
    assert not (data / "ranker").exists()


def as_program(command, folder):
    """Do what `python -m lightrec` does, with what it prints in a file."""
    os.chdir(folder)
    os.dup2(os.open("printed", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
    sys.argv = ["lightrec", *command]
    sys.modules["__main__"] = sys.modules["lightrec.__main__"]
    status = main(command)
    sys.stdout.flush()
    return status


@pytest.mark.slow
def test_two_processes_leave_one_folder(data):
    command = ["fit", "-c", "generic/ranker", *FAST["ranker"], "--trainer.accelerator", "cpu"]
    command += ["--trainer.strategy", "ddp", "--trainer.devices", "2"]
    # In a process of its own, which Lightning starts a second time with the same command.
    assert apart(as_program, (command, Path.cwd())) == [0]
    printed = Path("printed").read_text()
    assert printed.splitlines()[-1] == "ranker: runs/generic/ranker"
    assert printed.count("ranker: runs/generic/ranker") == 1
    assert {path.name for path in (data / "ranker").iterdir()} >= FILES
    assert not (data / ".work" / "ranker").exists()
