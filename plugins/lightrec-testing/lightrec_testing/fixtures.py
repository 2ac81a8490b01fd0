"""Fixtures for everybody's tests, found by pytest through the entry point ``pytest11``.

Every run of pytest in an environment with lightrec imports this module: only pytest and the
standard library are imported at its top.
"""

import os
import sys
import textwrap
from collections.abc import Iterator
from functools import lru_cache, partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lightrec.encoders.text import TextEncoder


@pytest.fixture(scope="session")
def lightrec_tiny_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The tiny log and its items as CSV files."""
    from lightrec_testing import tiny

    return tiny.write_log(tmp_path_factory.mktemp("lightrec-tiny"))


@pytest.fixture(scope="session")
def lightrec_tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> "TextEncoder":
    """A text encoder over a transformer of random weights; it keeps nothing on disk."""
    from lightrec.encoders.text import TextEncoder
    from lightrec_testing import tiny

    folder = tiny.tiny_text_model(tmp_path_factory.mktemp("lightrec-text-model"))
    return TextEncoder(str(folder), cache=False, device="cpu")


@pytest.fixture
def lightrec_data() -> Path:
    """The folder of published sets that LIGHTREC_TEST_DATA names; tests are skipped without."""
    if not (folder := os.environ.get("LIGHTREC_TEST_DATA")):
        pytest.skip("LIGHTREC_TEST_DATA is not set")
    return Path(folder)


class IsolatedPlugins:
    """The plugins of one test: lightrec's own, and those that the test adds.

    :param folder: is on the import path and gets the hook modules.
    :param monkeypatch: of the test.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from lightrec import plugins

        self.folder, self._monkeypatch = folder, monkeypatch
        self.entry_points: list[EntryPoint] = []
        self.installed = lru_cache(partial(plugins.discover, self.entry_points))
        """``lightrec.plugins.installed`` during the test."""

    def add(self, name: str, hooks: str) -> EntryPoint:
        """Install a plugin.

        :param name: of its entry point.
        :param hooks: source text of the hook module ``hooks_of_<name>``; ``hookimpl`` is imported
            for it.
        """
        module = f"hooks_of_{name.replace('-', '_')}"
        source = "from lightrec.hookspecs import hookimpl\n" + textwrap.dedent(hooks)
        (self.folder / f"{module}.py").write_text(source)
        self._monkeypatch.delitem(sys.modules, module, raising=False)
        self.entry_points.append(EntryPoint(name=name, value=module, group="lightrec"))
        self.installed.cache_clear()
        return self.entry_points[-1]


@pytest.fixture
def lightrec_plugins(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[IsolatedPlugins]:
    """Plugins of one test only; those that are really installed are out of sight.

    For example::

        def test_mine(lightrec_plugins):
            lightrec_plugins.add("mine", '''
                @hookimpl
                def lightrec_domains():
                    return {"chess": "my_package.domain:Chess"}
            ''')
            assert "chess" in lightrec.plugins.installed().parts["domains"]
    """
    from lightrec import plugins

    before = set(sys.modules)
    folder = tmp_path_factory.mktemp("lightrec-plugins")
    isolated = IsolatedPlugins(folder, monkeypatch)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(plugins, "installed", isolated.installed)
    yield isolated
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
