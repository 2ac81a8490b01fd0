"""Training with each event's feedback and the gaps between events."""

from collections.abc import Callable
from functools import partial

import lightning.pytorch as pl
import numpy as np
import polars as pl_frames
import pytest

from lightrec.data.domain import Domain
from lightrec.data.files import STAMP
from lightrec.errors import RecipeError
from lightrec.evaluation.held_out import HeldOutLog
from lightrec.nn.towers import CausalTransformer
from lightrec.ranking.blend import Blend
from lightrec.ranking.blending import judge, validation_events
from lightrec.ranking.item_models.base import RecentPopularity
from lightrec.ranking.module import RankingModule
from lightrec.ranking.scorers import by_history
from lightrec.ranking.sequence_data import SequenceData
from lightrec.run import Run
from tests.ranking.training import prepared, trainer

USERS, STEPS, KINDS, SIZE = 200, 13, 3, 8
DAY = 24 * 60 * 60_000
WITHOUT = (1 + 1 / np.log2(3)) / 2
"""NDCG where the next item is one of two, and nothing tells which: 0.815."""

Walk = Callable[[int, bool], int]


class Again(Domain):
    """Items come again."""

    repeats = True


def by_kind(item: int, coin: bool) -> int:
    """Liked: on to the next of the same kind; skipped: over to the next kind."""
    kind, place = divmod(item, SIZE)
    return kind * SIZE + (place + 1) % SIZE if coin else (kind + 1) % KINDS * SIZE + place


def written(folder, walk: Walk, seed: int = 0):
    """Write a log in which a coin, seen as feedback and as the gap before, says what comes next."""
    generator = np.random.default_rng(seed)
    rows = []
    for user in range(USERS):
        item, time = int(generator.integers(KINDS * SIZE)), 0
        for _ in range(STEPS):
            coin = bool(generator.integers(2))
            time += (5 * DAY if coin else DAY // 50) + int(generator.integers(60_000))
            rows.append((f"u{user}", f"i{item:02d}", time, "liked" if coin else "skipped"))
            item = walk(item, coin)
    names = ["user", "item", "time", "feedback"]
    log = pl_frames.DataFrame(rows, names, orient="row").with_columns(
        pl_frames.col("time").cast(pl_frames.Datetime("ms", "UTC"))
    )
    return prepared(log, folder, Again())


@pytest.fixture(scope="module")
def liked(tmp_path_factory):
    return written(tmp_path_factory.mktemp("liked") / "data", by_kind)


def fitted(store, folder, epochs=12, **settings):
    pl.seed_everything(0, verbose=False)
    data = SequenceData(str(store), max_length=STEPS, batch_size=16)
    given = {
        "size": 16,
        "max_length": STEPS,
        "tower": partial(CausalTransformer, layers=1, dropout=0.0),
        "learning_rate": 0.02,
    }
    given |= {"feedback_kinds": data.feedback_kinds, "use_feedback": False}
    module = RankingModule(data.num_items, 0, **given | settings)
    training = trainer(epochs, folder)
    training.fit(module, datamodule=data)
    return module.eval(), float(training.callback_metrics["validation/ndcg@10"]), data


@pytest.fixture(scope="module")
def knowing(liked, tmp_path_factory):
    """A training that reads feedback."""
    return fitted(liked, tmp_path_factory.mktemp("knowing"), use_feedback=True)


def test_what_comes_after_a_like_and_after_a_skip_is_learned(liked, knowing, tmp_path):
    assert fitted(liked, tmp_path)[1] < WITHOUT + 0.03
    assert knowing[1] > 0.97


def test_written_blended_and_judged_with_details(liked, tmp_path):
    module, known, data = fitted(
        liked, tmp_path, use_feedback=True, use_gaps=True, item_models=[RecentPopularity(7.0)]
    )
    (tmp_path / "run" / "ranker").mkdir(parents=True)
    (tmp_path / "run" / "data").symlink_to(liked)
    metrics = module.write(tmp_path / "run" / "ranker")
    assert metrics["validation/ranker/ndcg@10"] == pytest.approx(known, abs=0.02)
    assert metrics["validation/ndcg@10"] > 0.95
    blend = Blend.load(tmp_path / "run" / "ranker")
    batch = data.val_dataloader().dataset[0]
    for scores in (blend.scores(batch["history"], details=batch), by_history(blend)(batch)):
        assert (scores.argmax(1) == batch["target"]).float().mean() > 0.9
    # A history of which nothing else is known has its scores, too, and other ones.
    bare = blend.scores(batch["history"])
    assert bare[:, 1:].isfinite().all()
    assert (bare.argmax(1) == batch["target"]).float().mean() < 0.8
    events = validation_events(data, None)
    assert judge(by_history(blend), events)["ndcg@10"] == pytest.approx(
        metrics["validation/ndcg@10"]
    )
    for stage in (liked, tmp_path / "run" / "ranker"):
        (stage / STAMP).write_text('{"fingerprint": ""}')
    found = HeldOutLog().without_policy(Run(tmp_path / "run"), 0)
    assert found["test/ndcg@10"] > 0.95
    assert found["test/ranker/ndcg@10"] > 0.95


def test_what_the_log_does_not_have_cannot_be_used(tmp_path):
    events = {"user": list("aaaabbbb"), "item": list("12341234")}
    prepared(pl_frames.DataFrame(events), tmp_path / "data")
    with pytest.raises(RecipeError, match="one kind of feedback") as told:
        fitted(tmp_path / "data", tmp_path, use_feedback=True, use_gaps=True)
    assert "has no times" in str(told.value)
