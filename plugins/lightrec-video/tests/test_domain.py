"""Films in words."""

from pathlib import Path

import polars as pl
import pytest
from lightrec_video.domain import VideoDomain


def text(**columns: object) -> str:
    schema = {"title": pl.String, "year": pl.Int32, "genres": pl.List(pl.String)}
    frame = pl.DataFrame(
        {"item": ["1"], **{name: [value] for name, value in columns.items()}},
        schema={"item": pl.String, **{name: schema[name] for name in columns}},
    )
    series = VideoDomain().text(frame)
    assert series.name == "text"
    return str(series.item())


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            {"title": "Toy Story", "year": 1995, "genres": ["Animation", "Children's", "Comedy"]},
            "Toy Story (1995). Genres: Animation, Children's, Comedy",
        ),
        ({"title": "Usual Suspects, The", "year": 1995}, "The Usual Suspects (1995)"),
        (
            {"title": "Tin Drum, The (Blechtrommel, Die)", "year": None, "genres": None},
            "The Tin Drum (Blechtrommel, Die)",
        ),
        ({"title": "Steal Big, Steal Little"}, "Steal Big, Steal Little"),
        ({"title": None, "year": 1995, "genres": ["War"]}, "Genres: War"),
        ({"title": None, "year": 1995}, ""),
        ({}, ""),
    ],
)
def test_text(columns: dict[str, object], words: str) -> None:
    assert text(**columns) == words


def test_genres_may_be_one_string() -> None:
    frame = pl.DataFrame({"title": ["Heat"], "year": ["1995"], "genres": ["Action|Crime"]})
    assert VideoDomain().text(frame).to_list() == ["Heat (1995). Genres: Action|Crime"]


def test_the_sample_is_fetched_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "movielens-100k").mkdir()
    (tmp_path / "movielens-100k" / "log.parquet").touch()
    monkeypatch.setenv("LIGHTREC_CACHE", str(tmp_path))
    assert VideoDomain().sample() == tmp_path / "movielens-100k"
