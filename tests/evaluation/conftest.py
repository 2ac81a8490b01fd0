import pytest

from lightrec import builtin, plugins
from lightrec.hookspecs import gives


@pytest.fixture
def tiny_world(monkeypatch):
    """The tiny world is installed, as though it were lightrec's own."""
    simulators = {
        **builtin.lightrec_simulators(),
        "TinyWorld": "lightrec.testing.simulators:TinyWorld",
    }
    monkeypatch.setattr(builtin, "lightrec_simulators", gives(simulators))
    plugins.installed.cache_clear()
    yield
    plugins.installed.cache_clear()
