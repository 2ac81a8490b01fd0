"""A whole run over a tiny log, made once and shared by the tests that look at runs."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

# Before torch is imported, here and in the processes that tests start: threads that wait for each
# other make small work slow wherever cores are busy, and fixed threads make sums the same.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from hypothesis import HealthCheck, settings
from lightrec_testing import encoders, tiny

from lightrec import plugins
from tests.processes import run_python

# How long an example takes says nothing of whether it is right, and the examples of a test write
# the same files anew.
fixtures = HealthCheck.function_scoped_fixture
settings.register_profile("lightrec", deadline=None, suppress_health_check=[fixtures])
settings.load_profile("lightrec")

# What was imported stays: looking through it for garbage again and again costs a twentieth of all.
gc.freeze()
gc.set_threshold(10_000, 20, 50)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test draws without a generator, and hears, does not depend on the tests before it."""
    torch.manual_seed(0)
    plugins.warn.cache_clear()  # a process says each sentence once
    monkeypatch.setattr(encoders, "run_python", run_python)  # which imports nothing again


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.tiny_run(tmp_path_factory.mktemp("lightrec-run"))


@pytest.fixture(scope="session")
def bandit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.learners.training import bandit_run

    return bandit_run(tmp_path_factory.mktemp("bandit"))


@pytest.fixture
def stopping(monkeypatch) -> Callable[[int], AbstractContextManager[None]]:
    """Interrupt a block where it has renamed so many files and would rename one more."""

    @contextmanager
    def stopping(renames: int) -> Iterator[None]:
        left, rename = iter(range(renames)), os.replace

        def counted(source, target):
            if next(left, None) is None:
                raise KeyboardInterrupt
            rename(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", counted)
            yield

    return stopping
