"""Words, the made-up log, the reward, and what the report says of favourites and discoveries."""

from pathlib import Path

import polars as pl
import pytest
import torch
from lightrec_music.domain import MusicDomain
from lightrec_music.familiarity import Familiarity, Heard, liked, marked
from lightrec_music.rewards import DiscoveryReward
from tensordict import TensorDict

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.rewards.base import RewardContext
from lightrec.run import Run
from lightrec.stages.run import run
from lightrec.testing import EvaluatorChecks, check_all
from lightrec.testing.truth import recovered


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MusicDomain().synthetic(tmp_path_factory.mktemp("listening"), 0)


@pytest.fixture(scope="session")
def finished(made_up: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the made-up log up to item models alone."""
    out = tmp_path_factory.mktemp("run") / "music"
    models = "[Popularity, ItemKNN, EASE, RepeatConsumption]"
    settings = {
        "values": ["--text_encoder", "null"],
        "ranker": ["--trainer.max_epochs", "0", "--model.init_args.item_models", models],
    }
    return run("music", log=made_up, out=out, until="ranker", overrides=settings)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            {"title": "Hyperballad", "artist": "Björk", "tags": ["electronic", "icelandic"]},
            "Hyperballad. Artist: Björk. Tags: electronic, icelandic",
        ),
        ({"title": "Placebo", "tags": [], "plays": 3}, "Placebo"),
        (
            {"artist": "Nina Simone", "album": "Little Girl Blue"},
            "Artist: Nina Simone. Album: Little Girl Blue",
        ),
        ({"title": None, "genres": "jazz|soul"}, "Genres: jazz|soul"),
        ({}, ""),
    ],
)
def test_text(columns: dict[str, object], words: str) -> None:
    lists = {"tags": pl.List(pl.String)} if "tags" in columns else {}
    values = {"item": ["1"]} | {name: [value] for name, value in columns.items()}
    frame = pl.DataFrame(values, schema_overrides=lists)
    assert MusicDomain().text(frame).to_list() == [words]


def test_skips_have_negative_worth() -> None:
    worths = MusicDomain().weights(["play", "skip", "ban", "love"])
    assert worths == {"play": 1.0, "skip": -1.0, "ban": -1.0, "love": 2.0}


def test_made_up_listeners_repeat_and_skip(made_up: Path) -> None:
    log = pl.read_parquet(made_up / "log.parquet").sort("user", "time")
    same = pl.col("item") == pl.col("item").shift().over("user")
    earlier = pl.int_range(pl.len()).over("user", "item") > 0
    log = log.with_columns(same.alias("same"), earlier.alias("again"))
    assert log["again"].mean() > 0.2, "favourites come again"
    chances = log.filter("again")["same"].mean()
    assert chances < 0.05, "but hardly twice in a row: satiation"
    truth = pl.read_parquet(made_up / "truth.parquet")
    means = log.join(truth, on=["user", "item"]).group_by("feedback").agg(pl.mean("appeal"))
    play, skip = (means.filter(feedback=kind)["appeal"].item() for kind in ("play", "skip"))
    assert skip < play - 2, "what is skipped appeals little"


def test_the_truth_is_recovered(finished: Path, made_up: Path) -> None:
    found = recovered(finished, made_up)
    assert found["blend"] > found["popularity"] + 0.2, found


def test_reward() -> None:
    transition = TensorDict(
        {
            Key.HISTORY: torch.tensor([[0, 0, 7, 3, 4]] * 4),
            Key.ACTION: torch.tensor([[7], [9], [4], [9]]),
            Key.TAKEN: torch.tensor([[True], [True], [True], [False]]),
        },
        [4],
    )
    reward = DiscoveryReward(discovery=3.0, tired=0.5, rest=2)
    reward.bind(RewardContext())
    assert reward(transition).flatten().tolist() == [1.0, 3.0, 0.5, 0.0]
    assert DiscoveryReward(rest=0)(transition).flatten().tolist() == [1.0, 2.0, 1.0, 0.0]
    with pytest.raises(RecipeError, match="rest is -1"):
        DiscoveryReward(rest=-1)


def test_a_skip_makes_nothing_familiar(finished: Path) -> None:
    store = Run(finished).data
    kinds = dict(zip(["nothing", *store.feedback_kinds], liked(store).tolist(), strict=True))
    assert kinds == {"nothing": True, "play": True, "skip": False}
    numbers = {kind: n for n, kind in enumerate(store.feedback_kinds, 1)}
    batch = {
        Key.HISTORY: torch.tensor([[0, 2, 1, 2]]),
        Key.FEEDBACK: torch.tensor([[0, numbers["skip"], numbers["skip"], numbers["play"]]]),
    }
    met, played = marked(batch, liked(store), torch.zeros(1, 4))
    assert met.tolist() == [[False, True, True, False]]
    assert played.tolist() == [[False, False, True, False]]


def test_places_for_discoveries_by_hand() -> None:
    """Two events about favourites, two about discoveries; the second listener has one favourite."""
    heard = Heard(
        users=torch.tensor([0, 1, 0, 1]),
        met=torch.tensor([True, True, False, False]),
        familiar=torch.zeros(4),
        skipped=torch.zeros(4),
        ranks=torch.tensor([4.0, 11.0, 10.0, 30.0]),
        own_ranks=torch.tensor([4.0, 1.0, 3.0, 9.0]),
        played=torch.tensor([20, 1, 20, 1]),
    )
    found = heard.metrics("", 0)
    assert (found["repeat_hit@10"], found["discovery_hit@10"]) == (0.5, 0.5)
    hits = {
        places: (found["repeat_hit@10"], found["discovery_hit@10"])
        for places in (0, 6, 8, 10)
        if (found := heard.reserving(places, "", 0))
    }
    assert hits == {0: (1.0, 0.5), 6: (1.0, 1.0), 8: (0.5, 1.0), 10: (0.0, 1.0)}


def test_the_evaluator_tells_repeats_from_discoveries(finished: Path) -> None:
    check_all(EvaluatorChecks(lambda: Familiarity(max_events=200, places=(0, 5, 10)), finished))
    findings = Familiarity(places=(0, 5, 10)).evaluate(Run(finished), 0)
    found = findings.metrics
    assert found["music/blend/familiar@10"] > found["music/popularity/familiar@10"]
    hits = [
        [found[f"music/places-{n}/{x}_hit@10"] for n in (0, 5, 10)] for x in ("repeat", "discovery")
    ]
    assert hits[0] == sorted(hits[0], reverse=True)
    assert hits[1] == sorted(hits[1])
    assert hits[0][2] == 0
    (section,) = findings.sections
    assert "places for discoveries" in section.markdown()
    assert findings.verdict[0].startswith("Of what the blend shows, its listeners have played")
