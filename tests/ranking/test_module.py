"""A ranker trained on walks: what it learns, leaves, goes on from, and reads beside the items."""

import json
from functools import partial

import numpy as np
import polars as frames
import pytest
import torch
from lightrec_testing import tiny
from safetensors.torch import load_file

from lightrec.api import DataError, HeldOutLog, Ranker, RecipeError, Run, by_history
from lightrec.data.files import STAMP
from lightrec.encoders.words import WordEncoder
from lightrec.nn.towers import CausalTransformer
from lightrec.ranking import sequence_data
from lightrec.ranking.blend import Blend
from lightrec.ranking.blending import judge, validation_events
from lightrec.ranking.item_models.base import RecentPopularity
from lightrec.ranking.losses import SampledSoftmaxLoss
from lightrec.ranking.metrics import evaluate_scores
from lightrec.ranking.module import RankingModule
from lightrec.ranking.sequence_data import SequenceData
from tests.learners.training import Again
from tests.ranking.training import fitted, trainer
from tests.users.stores import prepared


@pytest.fixture
def store():
    """Users walk around circles of items, from where they happen to begin."""
    return tiny.kit_store()


@pytest.mark.parametrize("loss", [None, SampledSoftmaxLoss(12, 0.5)])
def test_learns_a_walk_and_writes_what_the_next_stages_read(store, tmp_path, loss):
    module, training, data = fitted(store, tmp_path, loss=loss)
    assert float(training.callback_metrics["validation/ndcg@10"]) > 0.9
    assert float(training.callback_metrics["train/loss"]) < 1
    folder = tmp_path / "out"
    folder.mkdir()
    metrics = module.write(folder)
    assert metrics["validation/ndcg@10"] == pytest.approx(
        float(training.callback_metrics["validation/ndcg@10"]), abs=1e-6
    )
    ranker = Ranker.from_pretrained(str(folder)).eval()
    items = load_file(folder / "items.safetensors")
    history = torch.tensor([[0, 3, 4]])
    by_hand = ranker.user_vectors(history) @ items["vectors"].T + items["bias"]
    assert torch.allclose(by_hand[:, 1:], module.ranker.scores(history)[:, 1:], atol=1e-5)
    assert json.loads((folder / "config.json").read_text())["num_items"] == tiny.ITEMS

    tested = trainer(1, tmp_path).test(module, datamodule=data, verbose=False)[0]
    own = evaluate_scores(lambda b: ranker.scores(b["history"]), data.test_dataloader())
    assert tested["test/mrr@20"] == pytest.approx(own.metrics()["mrr@20"], abs=1e-6)
    counts = torch.from_numpy(data.store.popularity()).double()
    other = evaluate_scores(lambda b: counts.expand(len(b["user"]), -1), data.test_dataloader())
    assert own.bootstrap(other).low > 0


def test_text_vectors_come_from_the_encoder(store, tmp_path):
    data = SequenceData(str(store.folder), text_encoder=WordEncoder(8), max_length=8)
    texts = ["", "abba", "cab", *[""] * (tiny.ITEMS - 3)]
    data.store.__dict__["catalog"] = data.store.catalog.with_columns(text=frames.Series(texts))
    module = RankingModule(tiny.ITEMS, data.vector_size, size=16, max_length=8)
    trainer(1, tmp_path).fit(module, datamodule=data)
    assert torch.equal(module.ranker.items.vectors, data.vectors)
    assert data.vectors.any(1).nonzero().flatten().tolist() == [2, 3]
    assert module.ranker.items.project.weight.abs().sum() > 0
    # They are the data's, and in no checkpoint.
    module.trainer.save_checkpoint(tmp_path / "some.ckpt")
    kept = torch.load(tmp_path / "some.ckpt", weights_only=True)["state_dict"]
    assert module.state_dict().keys() - kept.keys() == {"ranker.items.vectors"}
    again = RankingModule(tiny.ITEMS, data.vector_size, size=16, max_length=8)
    again.load_state_dict(kept)
    trainer(1, tmp_path).test(again, datamodule=data, verbose=False)
    assert torch.equal(again.item_vectors(), module.item_vectors())


def test_each_target_counts_alike(tmp_path):
    rows = [(f"u{u}", f"i{(u + n) % 9}", n) for u in range(30) for n in range(3 + u % 7)]
    store = prepared(frames.DataFrame(rows, ["user", "item", "time"], orient="row"), tmp_path / "d")
    module, _, data = fitted(store, tmp_path, epochs=1)
    module.log = lambda *given, **settings: None
    data.batch_size = 4
    batches = list(data.train_dataloader())
    counts = [int((batch["target"] != 0).sum()) for batch in batches]
    assert len({*counts}) > 1
    with torch.no_grad():
        losses = [float(module.training_step(batch, 0)) for batch in batches]
        means = [float(module.loss(batch)) for batch in batches]
    share = data.windows.positions * 4 / len(data.windows)
    assert losses == pytest.approx([m * n / share for m, n in zip(means, counts, strict=True)])


def test_a_batch_foretells_a_100th_of_a_small_log(tmp_path, monkeypatch):
    rows = [(f"u{u}", f"i{(u + n) % 16}", n) for u in range(200) for n in range(12)]
    store = prepared(frames.DataFrame(rows, ["user", "item", "time"], orient="row"), tmp_path / "d")
    data = SequenceData(str(store.folder), max_length=9, batch_size=None)
    # Two events of a user are held out, and nothing foretells the first.
    assert (len(data.windows), data.windows.positions) == (200, 200 * 9)
    assert (data.windows_in_batch, data.targets_in_batch) == (2, 18)
    monkeypatch.setattr(sequence_data, "TARGETS", 9)
    assert data.windows_in_batch == 1
    assert SequenceData(str(store.folder), batch_size=5).windows_in_batch == 5


def test_a_log_without_an_order_is_refused(tmp_path):
    log = frames.DataFrame({"user": ["a", "b"], "item": ["x", "y"], "time": [1, 2]})
    data = SequenceData(str(prepared(log, tmp_path / "d").folder))
    with pytest.raises(DataError, match="two training events"):
        data.train_dataloader()
    with pytest.raises(DataError, match="no validation events"):
        data.val_dataloader()


LIKES, KINDS, SIZE, DAY = 13, 3, 8, 24 * 60 * 60_000
WITHOUT = (1 + 1 / np.log2(3)) / 2
"""NDCG where the next item is one of two, and nothing tells which: 0.815."""


@pytest.fixture(scope="module")
def liked(tmp_path_factory):
    """A log in which a coin, seen as feedback and as the gap before, says what comes next.

    Liked: on to the next item of the same kind; skipped: over to the next kind.
    """
    generator = np.random.default_rng(0)
    rows = []
    for user in range(200):
        item, time = int(generator.integers(KINDS * SIZE)), 0
        for _ in range(LIKES):
            coin = bool(generator.integers(2))
            time += (5 * DAY if coin else DAY // 50) + int(generator.integers(60_000))
            rows.append((f"u{user}", f"i{item:02d}", time, "liked" if coin else "skipped"))
            kind, place = divmod(item, SIZE)
            item = kind * SIZE + (place + 1) % SIZE if coin else (item + SIZE) % (KINDS * SIZE)
    log = frames.DataFrame(rows, ["user", "item", "time", "feedback"], orient="row")
    time = frames.col("time").cast(frames.Datetime("ms", "UTC"))
    return prepared(
        log.with_columns(time), tmp_path_factory.mktemp("liked") / "data", domain=Again()
    )


ONE_LAYER = {"tower": partial(CausalTransformer, layers=1, dropout=0.0), "length": LIKES}


def test_what_comes_after_a_like_and_after_a_skip_is_learned(liked, tmp_path):
    _, blind, _ = fitted(liked, tmp_path, 12, **ONE_LAYER)
    assert float(blind.callback_metrics["validation/ndcg@10"]) < WITHOUT + 0.03
    _, training, _ = fitted(liked, tmp_path, 12, **ONE_LAYER, use_feedback=True)
    assert float(training.callback_metrics["validation/ndcg@10"]) > 0.97


def test_written_blended_and_judged_with_details(liked, tmp_path):
    reads = {"use_feedback": True, "use_gaps": True, "item_models": [RecentPopularity(7.0)]}
    module, training, data = fitted(liked, tmp_path, 12, **ONE_LAYER, **reads)
    (tmp_path / "run" / "ranker").mkdir(parents=True)
    (tmp_path / "run" / "data").symlink_to(liked.folder)
    metrics = module.write(tmp_path / "run" / "ranker")
    assert metrics["validation/ranker/ndcg@10"] == pytest.approx(
        float(training.callback_metrics["validation/ndcg@10"]), abs=0.02
    )
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
    for stage in (liked.folder, tmp_path / "run" / "ranker"):
        (stage / STAMP).write_text('{"fingerprint": ""}')
    found = HeldOutLog().without_policy(Run(tmp_path / "run"), 0)
    assert found["test/ndcg@10"] > 0.95
    assert found["test/ranker/ndcg@10"] > 0.95


def test_what_the_log_does_not_have_cannot_be_used(tmp_path):
    events = {"user": list("aaaabbbb"), "item": list("12341234")}
    store = prepared(events, tmp_path / "data")
    with pytest.raises(RecipeError, match=r"(?s)one kind of feedback.*has no times"):
        fitted(store, tmp_path, use_feedback=True, use_gaps=True)
