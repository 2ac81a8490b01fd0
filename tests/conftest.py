"""A whole run over a tiny log, made once and shared by the tests that look at runs."""

import os
from pathlib import Path

import pytest

# Before torch is imported, here and in the processes that tests start: threads that wait for each
# other make small work slow wherever cores are busy, and fixed threads make sums the same.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.tiny import write_log

FAST = {
    "data": ["--k_core", "1"],
    "encoder": [
        "--trainer.max_epochs=3",
        "--model.init_args.size=16",
        "--model.init_args.layers=1",
        "--data.init_args.text_encoder=null",
    ],
    "reward": ["--trainer.max_epochs=2"],
    "judge": ["--trainer.max_epochs=2"],
    "policy": [
        "--trainer.max_epochs=2",
        "--model.init_args.sessions=32",
        "--model.init_args.steps=5",
        "--data.init_args.iterations=1",
    ],
    "assumptions": ["--policy=[--trainer.max_epochs=1]", "--rounds", "1"],
}
"""Settings with which a run over the tiny log takes seconds."""


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory) -> tuple[Path, Path]:
    return write_log(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_run(tiny_files, tmp_path_factory) -> Path:
    from lightrec.pipeline.run import run

    log, items = tiny_files
    out = tmp_path_factory.mktemp("runs") / "tiny"
    return run("generic", out=out, log=log, items=items, overrides=FAST)
