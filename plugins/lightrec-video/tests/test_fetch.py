"""MovieLens-100K from two sources, without a network in the test."""

import shutil

import pytest
from lightrec_video.fetch import fetch_movielens_100k

from lightrec.data.readers.canonical import CanonicalReader
from lightrec.errors import FetchError


def fails(to):
    raise FetchError("No network.")


def gives(to):
    (to / "u.data").write_text("7\t2\t4\t881250949\n")


def test_the_second_source_is_tried(tmp_path):
    folder = tmp_path / "cache" / "set"
    assert fetch_movielens_100k(folder, {"first": fails, "second": gives}) == folder
    assert len(CanonicalReader().read(folder).log) == 1
    assert fetch_movielens_100k(folder, {"first": fails}) == folder, "it is there already"
    shutil.rmtree(folder)
    with pytest.raises(FetchError) as raised:
        fetch_movielens_100k(folder, {"first": fails, "second": fails})
    assert str(raised.value).splitlines() == [
        "MovieLens-100K could not be fetched:",
        "  - first: No network.",
        "  - second: No network.",
        "Use --offline, which runs the same pipeline on a synthetic world and needs no network, or "
        "name your own log with --log.",
    ]
    assert not folder.exists()
