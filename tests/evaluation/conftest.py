import pytest

from lightrec import builtin, plugins
from lightrec.hookspecs import gives


@pytest.fixture
def tiny_world(monkeypatch):
    """The tiny world is installed, as though it were lightrec's own."""
    tiny = {"TinyWorld": "lightrec_testing.simulators:TinyWorld"}
    monkeypatch.setattr(builtin, "lightrec_simulators", gives(builtin.lightrec_simulators() | tiny))
    plugins.installed.cache_clear()
    yield
    plugins.installed.cache_clear()
