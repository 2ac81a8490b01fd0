"""A run from files to report: complete, resumable, the same twice; what it serves knows all."""

import shlex
import time

import numpy as np
import pytest
import torch
from lightrec_testing.tiny import FAST

from lightrec.__main__ import main
from lightrec.data.store import COLD, CONTEXT, TEST, TRAIN, VALIDATION
from lightrec.run import Run
from lightrec.stages.run import command_of, run
from tests.processes import SERVER

DEFAULT = ("data", "text", "ranker", "users_a", "users_b", "policy", "evaluate", "final")


def test_every_stage_leaves_its_files_and_is_skipped_later(tiny_run, lightrec_tiny_files, capsys):
    assert {p.name for p in tiny_run.iterdir() if p.is_dir()} == {*DEFAULT, "logs"}
    assert (tiny_run / "report.png").read_bytes().startswith(b"\x89PNG")
    before = (tiny_run / "metrics.json").read_bytes()
    log, items = lightrec_tiny_files
    run("generic", out=tiny_run, log=log, items=items, overrides=FAST)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("] ")[2] for line in lines] == [f"{s}: up to date" for s in DEFAULT]
    assert (tiny_run / "metrics.json").read_bytes() == before


def test_nothing_is_held_out_of_the_whole_log(tiny_run):
    store = Run(tiny_run).data
    whole = store.whole
    assert {*np.asarray(store.parts).tolist()} >= {TRAIN, VALIDATION, TEST}
    assert not np.isin(whole.parts, (VALIDATION, TEST, COLD)).any()
    held_out = np.isin(store.parts, (VALIDATION, TEST))
    assert (whole.parts[held_out] == TRAIN).all()
    assert (whole.parts[np.asarray(store.parts) == CONTEXT] == CONTEXT).all()
    assert whole.popularity().sum() == store.popularity().sum() + held_out.sum()


def test_what_is_served_goes_on_from_what_was_judged_with_all_events(tiny_run):
    run = Run(tiny_run)
    assert run.served.weights == run.blend.weights
    served, judged = (each.ranker.item_vectors() for each in (run.served, run.blend))
    assert torch.cosine_similarity(served[1:], judged[1:]).mean() > 0.9
    assert not torch.equal(served, judged)


@pytest.mark.slow
def test_killed_in_every_stage_the_metrics_end_identical(tiny_run, lightrec_tiny_files, tmp_path):
    log, items = lightrec_tiny_files
    out = tmp_path / "run"
    options = {"log": str(log), "items": str(items)}
    command = [*shlex.split(command_of("generic", options, [], FAST))[1:], "--out", str(out)]
    for stage in (name for name in DEFAULT if name != "text"):  # which leaves these texts at once
        process = SERVER.Process(target=main, args=(command,))
        process.start()
        deadline = time.monotonic() + 120
        while not (out / ".work" / stage).exists():
            assert process.is_alive(), f"ended before {stage} began"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.join()
        assert not (out / stage).exists()
    assert not (out / "metrics.json").exists()
    assert main(command) == 0
    assert (out / "metrics.json").read_bytes() == (tiny_run / "metrics.json").read_bytes()
