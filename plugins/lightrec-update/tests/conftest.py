"""A whole run over a tiny log, which the tests that look at runs share."""

from pathlib import Path

import pytest

from lightrec import plugins
from lightrec.testing import tiny


@pytest.fixture(scope="session")
def tiny_run() -> Path:
    return tiny.kit_run()


@pytest.fixture(autouse=True)
def alone() -> None:
    """A process says each sentence once; each test hears it."""
    plugins.warn.cache_clear()
