"""A whole run over a tiny log, made once and shared by the tests that look at runs."""

import gc
import os
from pathlib import Path

import pytest

# Before torch is imported, here and in the processes that tests start: threads that wait for each
# other make small work slow wherever cores are busy, and fixed threads make sums the same.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

from lightrec.testing import tiny

# How long an example takes says nothing of whether it is right.
settings.register_profile("lightrec", deadline=None)
settings.load_profile("lightrec")

# What was imported stays; to look through it for garbage again and again costs a tenth of the time.
gc.freeze()
gc.set_threshold(10_000, 20, 50)


@pytest.fixture(scope="session")
def tiny_run() -> Path:
    return tiny.kit_run()
