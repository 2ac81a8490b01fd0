"""The contracts, films in words, the sample and the synthetic log, and series that are followed."""

import shutil
from functools import partial

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_formats.truth import TruthChecks, made_up
from lightrec_rewards import spent
from lightrec_rewards.spent import TimeSpent
from lightrec_testing import EvaluatorChecks, parametrize_checks, plugin_checks
from lightrec_video.domain import VideoDomain
from lightrec_video.fetch import fetch_movielens_100k
from lightrec_video.watching import NextEpisode
from torch.nn.functional import one_hot

from lightrec.data.readers.canonical import CanonicalReader
from lightrec.errors import FetchError, NotApplicable
from lightrec.keys import Key
from lightrec.ranking.item_models.base import Evidence
from lightrec.run import Run

MADE_UP = partial(made_up, "video", "Popularity", "ItemKNN", "EASE", "NextEpisode")


def forbidden(store):
    """Mark titles above the viewer's age, of another country, or whose licence has ended."""
    titles, (ages, countries) = store.catalog, store.users["age", "country"]
    now = np.asarray(store.times)[np.asarray(store.offsets[1:]) - 1]
    over = now[:, None] > titles["licence_ends"].dt.epoch("ms").to_numpy()
    places = [only or [*countries] for only in titles["territories"].to_list()]
    abroad = np.array([[at not in place for place in places] for at in countries])
    return (ages.to_numpy()[:, None] < titles["age_rating"].to_numpy()) | abroad | over


@parametrize_checks(
    plugin_checks("lightrec-video"),
    TruthChecks("video", MADE_UP, ahead=0.15, forbidden=forbidden),
    EvaluatorChecks(partial(TimeSpent, "duration"), lambda: MADE_UP().run),
)
def test_contract(check):
    check()


@pytest.mark.parametrize(
    ("title", "year", "genres", "words"),
    [
        ("Toy Story", 1995, ["Animation", "Comedy"], "Toy Story (1995). Genres: Animation, Comedy"),
        ("Tin Drum, The (Blechtrommel, Die)", None, [], "The Tin Drum (Blechtrommel, Die)"),
        ("Steal Big, Steal Little", None, None, "Steal Big, Steal Little"),
        (None, 1995, None, ""),
    ],
)
def test_text(title, year, genres, words):
    items = pl.DataFrame({"item": ["1"], "title": [title], "year": [year], "genres": [genres]})
    assert VideoDomain().text(items.cast({"title": pl.String})).to_list() == [words]


def test_the_sample_is_fetched_once_and_the_second_source_is_tried(tmp_path, monkeypatch):
    def fails(to):
        raise FetchError("No network.")

    def gives(to):
        (to / "u.data").write_text("7\t2\t4\t881250949\n")

    folder = tmp_path / "movielens-100k"
    assert fetch_movielens_100k(folder, {"first": fails, "second": gives}) == folder
    assert len(CanonicalReader().read(folder).log) == 1
    monkeypatch.setenv("LIGHTREC_CACHE", str(tmp_path))
    assert VideoDomain().sample() == folder, "it is there already"
    shutil.rmtree(folder)
    with pytest.raises(FetchError, match=r"(?s)not be fetched:\n  - first: No network.*Use --off"):
        fetch_movielens_100k(folder, {"first": fails})
    assert not folder.exists()


def test_who_finds_everything_finds_all_that_was_spent(monkeypatch):
    def oracle(batch):
        return one_hot(batch[Key.TARGET], run.data.num_items + 1).double()

    run = Run(MADE_UP().run)
    monkeypatch.setattr(spent, "scorers_of", lambda *args, **how: {"blend": oracle})
    metrics = TimeSpent("duration").evaluate(run, 0).metrics
    assert metrics["spent/blend/events@10"] == metrics["spent/blend/spent@10"] == pytest.approx(1)
    assert metrics["spent/blend/share@10"] == pytest.approx(metrics["spent/share"])
    assert 0.7 < metrics["spent/share"] < 1, "people skip parts of what appeals less"
    assert TimeSpent("words").evaluate(run, 0).metrics == {}


SERIES = {
    "series": ["Lighthouse", "Lighthouse", None, "Lighthouse", "Harbour", "Harbour"],
    "season": [1, 2, None, 1, 1, 1],
    "episode": [1, 1, None, 2, 4, 9],
}


def evidence(columns):
    items = pl.DataFrame({"item": [*"abcdef"], **columns})
    return Evidence(None, 6, torch.zeros(7, 0), items=items)


def test_the_next_episode_of_what_was_seen_last_comes_first():
    model = NextEpisode(decay=0.5).fit(evidence(SERIES))
    assert model.following.tolist() == [0, 4, 0, 0, 2, 6, 0]
    histories = torch.tensor([[0, 1, 5, 3], [0, 0, 1, 4], [0, 0, 0, 0]])
    expected = torch.zeros(3, 7)
    expected[0, 4], expected[0, 6] = 0.25, 0.5
    expected[1, 2] = 1.0  # the second season, and not episode 2, which was seen
    torch.testing.assert_close(model.scores(histories), expected)


@pytest.mark.parametrize("columns", [{}, {"series": [None] * 6}, {**SERIES, "series": [*"uvwxyz"]}])
def test_films_alone_are_no_series(columns):
    with pytest.raises(NotApplicable, match="series"):
        NextEpisode().fit(evidence(columns))
