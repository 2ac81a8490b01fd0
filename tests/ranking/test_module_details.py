"""Training with each event's feedback and the gaps between events."""

from collections.abc import Callable
from functools import partial

import lightning.pytorch as pl
import numpy as np
import polars as pl_frames
import pytest
import torch

from lightrec.data.domain import Domain
from lightrec.data.files import STAMP
from lightrec.data.store import VALIDATION
from lightrec.errors import RecipeError
from lightrec.evaluation.held_out import HeldOutLog
from lightrec.nn.towers import CausalTransformer
from lightrec.ranking.blend import Blend
from lightrec.ranking.blending import judge, validation_events
from lightrec.ranking.item_models.base import RecentPopularity
from lightrec.ranking.metrics import evaluate_scores
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


def start_over(item: int, coin: bool) -> int:
    """Back after a long gap: start over; else on to the next."""
    return 0 if coin else (item + 1) % (KINDS * SIZE)


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


@pytest.fixture(scope="module")
def long_gaps(tmp_path_factory):
    return written(tmp_path_factory.mktemp("gaps") / "data", start_over)


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


def test_what_comes_after_a_long_gap_is_learned(long_gaps, tmp_path):
    assert fitted(long_gaps, tmp_path, use_gaps=True)[1] > 0.97


def test_unused_details_change_nothing(liked, tmp_path):
    """Bit for bit: whether the log has feedback does not matter to who does not read it."""
    one, *_ = fitted(liked, tmp_path, epochs=1)
    other, *_ = fitted(liked, tmp_path, epochs=1, feedback_kinds=0)
    assert one.ranker.feedback is None
    assert one.ranker.gaps is None
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


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


def test_a_checkpoint_is_enough_to_load(liked, tmp_path):
    module, _, data = fitted(liked, tmp_path, epochs=1, use_feedback=True, use_gaps=True)
    module.trainer.save_checkpoint(tmp_path / "one.ckpt")
    again = RankingModule.load_from_checkpoint(tmp_path / "one.ckpt", weights_only=True).eval()
    batch = data.val_dataloader().dataset[0]
    assert torch.equal(again.scores(batch), module.scores(batch))


def test_nothing_of_the_target_is_read(liked, tmp_path):
    """Other feedback and another time of the held-out events change no score of theirs."""
    module, _, _ = fitted(liked, tmp_path, epochs=2, use_feedback=True, use_gaps=True)
    data = SequenceData(str(liked), max_length=STEPS)
    before = [module.scores(batch) for batch in data.val_dataloader()]
    held_out = data.store.events(VALIDATION)
    store = data.store
    store.feedback, store.times = np.array(store.feedback), np.array(store.times)
    store.feedback[held_out] = 3 - store.feedback[held_out]
    store.times[held_out] += DAY
    store.times[held_out + 1] += 2 * DAY
    assert all(map(torch.equal, before, again(module, data)))
    # Those of the event before are read.
    store.feedback[held_out - 1] = 3 - store.feedback[held_out - 1]
    assert not any(map(torch.equal, before, again(module, data)))


def again(module, data):
    """Score the validation events of data whose store was changed."""
    del data.__dict__["histories"]
    return [module.scores(batch) for batch in data.val_dataloader()]


def test_what_the_log_does_not_have_cannot_be_used(tmp_path):
    events = {"user": list("aaaabbbb"), "item": list("12341234")}
    prepared(pl_frames.DataFrame(events), tmp_path / "data")
    with pytest.raises(RecipeError, match="one kind of feedback") as told:
        fitted(tmp_path / "data", tmp_path, use_feedback=True, use_gaps=True)
    assert "has no times" in str(told.value)


def test_what_is_forgotten_is_not_read(liked, tmp_path):
    module, _, data = fitted(liked, tmp_path, epochs=1, use_feedback=True, use_gaps=True)
    batch = next(iter(data.train_dataloader()))
    bare = {name: batch[name] for name in ("history", "target", "seen")}
    with torch.no_grad():
        module.settings.forget = 1.0
        assert torch.equal(module.loss(batch), module.loss(bare))
        module.settings.forget = 0.0
        known = module.loss(batch)
        assert torch.equal(known, module.loss(batch))
        assert not torch.allclose(known, module.loss(bare))


def test_bare_histories_are_ranked_better_where_some_windows_are_forgotten(
    liked, knowing, tmp_path
):
    found = []
    for module, known, data in (fitted(liked, tmp_path, use_feedback=True, forget=0.0), knowing):
        assert known > 0.97
        bare = Blend(module.ranker)
        result = evaluate_scores(
            lambda batch, bare=bare: bare.scores(batch["history"]),
            data.val_dataloader(),
            filter_seen=False,
        )
        found.append(result.metrics()["ndcg@10"])
    assert found[0] < 0.7
    assert found[1] > 0.75


def test_a_share_is_between_0_and_1(liked, tmp_path):
    with pytest.raises(RecipeError, match="from 0 to 1"):
        fitted(liked, tmp_path, use_feedback=True, forget=1.5)


def test_the_kinds_of_another_log_are_refused(liked, tmp_path):
    with pytest.raises(RecipeError, match="made for 5 kinds of feedback"):
        fitted(liked, tmp_path, use_feedback=True, feedback_kinds=5)
