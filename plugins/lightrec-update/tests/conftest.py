"""A whole run over a tiny log, which the tests that look at runs share."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
