"""A whole run over a tiny log, which the tests that look at runs share."""

from pathlib import Path

import pytest

from lightrec.testing import tiny


@pytest.fixture(scope="session")
def tiny_run() -> Path:
    return tiny.kit_run()
