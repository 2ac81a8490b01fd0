"""What other launchers start is one training, of one folder, with the result of one process."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from lightrec_testing.tiny import FAST

from tests.processes import free_port

pytestmark = pytest.mark.slow  # Each launch starts interpreters, which import torch.

FIT = ["-c", "generic/ranker", *FAST["ranker"], "--trainer.strategy=ddp"]
FIT += ["--trainer.accelerator=cpu"]


def torchrun(*words):
    return [sys.executable, "-m", "torch.distributed.run", *words, "-m", "lightrec", "fit", *FIT]


def one_machine(port):
    words = "--nproc-per-node=2", f"--master-port={port}"
    return [({}, [*torchrun(*words), "--trainer.devices=2"])]


def kubernetes(port):
    """A pod for each of two machines."""
    where = "--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={port}"
    two = "--trainer.devices=1", "--trainer.num_nodes=2"
    return [({}, [*torchrun(*where, f"--node-rank={rank}"), *two]) for rank in range(2)]


def slurm(port):
    """Two tasks on a machine, as srun starts them."""
    job = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "fit", "SLURM_NTASKS": "2", "SLURM_NODEID": "0"}
    job |= {"SLURM_NTASKS_PER_NODE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    words = [sys.executable, "-m", "lightrec", "fit", *FIT, "--trainer.devices=2"]
    ranks = ({"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)} for rank in range(2))
    return [(job | rank, words) for rank in ranks]


def alone(port):
    return [({}, [sys.executable, "-m", "lightrec", "fit", *FIT])]


def launched(launcher, run, folder):
    """The metrics of a ranker whose training a launcher has started, in a run with data."""
    for stage in ("data", "text"):
        shutil.copytree(run / stage, folder / "runs" / "generic" / stage)
    started = [
        subprocess.Popen(
            words, cwd=folder, env=os.environ | more, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )
        for more, words in launcher(free_port())
    ]  # fmt: skip
    printed = [process.communicate(timeout=200)[0] for process in started]
    assert [process.returncode for process in started] == [0] * len(started), printed
    assert not (folder / "runs" / "generic" / ".work").exists()
    return json.loads((folder / "runs" / "generic" / "ranker" / "metrics.json").read_text())


@pytest.fixture(scope="module")
def expected(tiny_run, tmp_path_factory):
    return launched(alone, tiny_run, tmp_path_factory.mktemp("alone"))


@pytest.mark.parametrize("launcher", [one_machine, kubernetes, slurm])
def test_a_launcher_trains_what_one_process_would(launcher, expected, tiny_run, tmp_path):
    assert launched(launcher, tiny_run, tmp_path) == pytest.approx(expected, abs=1e-5)
