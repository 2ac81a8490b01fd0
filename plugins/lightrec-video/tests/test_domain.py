"""Films in words, and the sample."""

import polars as pl
import pytest
from lightrec_video.domain import VideoDomain

from lightrec.testing import parametrize_checks, plugin_checks


@parametrize_checks(plugin_checks("lightrec-video"))
def test_contract(check):
    check()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            {"title": "Toy Story", "year": 1995, "genres": ["Animation", "Children's", "Comedy"]},
            "Toy Story (1995). Genres: Animation, Children's, Comedy",
        ),
        ({"title": "Usual Suspects, The", "year": 1995}, "The Usual Suspects (1995)"),
        (
            {"title": "Tin Drum, The (Blechtrommel, Die)", "year": None},
            "The Tin Drum (Blechtrommel, Die)",
        ),
        ({"title": "Steal Big, Steal Little"}, "Steal Big, Steal Little"),
        ({"title": None, "year": 1995, "genres": ["War"]}, "Genres: War"),
        ({"title": None, "year": 1995}, ""),
        ({"title": "Heat", "year": "1995", "genres": "A|B"}, "Heat (1995). Genres: A|B"),
        ({}, ""),
    ],
)
def test_text(columns, words):
    frame = pl.DataFrame({"item": ["1"]} | {name: [value] for name, value in columns.items()})
    frame = frame.cast({"title": pl.String} if "title" in columns else {})
    assert VideoDomain().text(frame).to_list() == [words]


def test_the_sample_is_fetched_once(monkeypatch, tmp_path):
    (tmp_path / "movielens-100k").mkdir()
    (tmp_path / "movielens-100k" / "log.parquet").touch()
    monkeypatch.setenv("LIGHTREC_CACHE", str(tmp_path))
    assert VideoDomain().sample() == tmp_path / "movielens-100k"
