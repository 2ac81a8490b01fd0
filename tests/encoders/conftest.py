import pytest

from tests.encoders.topics import patched, write_topics


@pytest.fixture(scope="package")
def folders(tmp_path_factory):
    """A prepared log in which people keep to one topic, and a text model of random weights."""
    return write_topics(tmp_path_factory.mktemp("topics"))


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Tunings on a small log, with a cache of their own."""
    patched(monkeypatch, tmp_path)
