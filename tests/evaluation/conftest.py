import pytest

from lightrec import builtin
from lightrec.evaluation import arena


@pytest.fixture
def tiny_world(monkeypatch):
    """The tiny world is installed, as though it were lightrec's own."""
    own = {**builtin.lightrec_simulators(), "TinyWorld": "lightrec.testing.simulators:TinyWorld"}
    monkeypatch.setattr(builtin, "lightrec_simulators", builtin.hookimpl(lambda: own))
    arena.installed.cache_clear()
    yield
    arena.installed.cache_clear()
