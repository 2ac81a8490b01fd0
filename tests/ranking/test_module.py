import json
from functools import partial

import lightning.pytorch as pl
import polars as pl_frames
import pytest
import torch
from lightrec_news.reading import SelfAttentionReader
from safetensors.torch import load_file

from lightrec.encoders.base import Encoder
from lightrec.errors import DataError, RecipeError
from lightrec.nn.towers import CausalTransformer
from lightrec.ranking.losses import SampledSoftmaxLoss
from lightrec.ranking.metrics import evaluate_scores
from lightrec.ranking.module import RankingModule
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.sequence_data import SequenceData
from tests.ranking.training import prepared, trainer

USERS, ITEMS, STEPS = 40, 24, 9
TOWER = partial(CausalTransformer, dropout=0.0)


class Letters(Encoder):
    """Counts letters."""

    size = 3

    def encode(self, texts):
        return torch.tensor([[float(t.count(c)) for c in "abc"] for t in texts])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Users walk around a circle of items, from where they happen to begin."""
    rows = [
        {"user": f"u{user}", "item": f"i{(5 * user + step) % ITEMS:02d}", "time": step}
        for user in range(USERS)
        for step in range(STEPS)
    ]
    return prepared(pl_frames.DataFrame(rows), tmp_path_factory.mktemp("store") / "data")


def fitted(store, folder, epochs=8, seed=0, callbacks=None, checkpoint=None, **settings):
    pl.seed_everything(seed, verbose=False)
    data = SequenceData(str(store), max_length=8, batch_size=8)
    module = RankingModule(
        ITEMS, 0, **{"size": 16, "max_length": 8, "tower": TOWER, "learning_rate": 0.02} | settings
    )
    training = trainer(epochs, folder, callbacks=callbacks)
    training.fit(module, datamodule=data, ckpt_path=checkpoint)
    return module.eval(), training, data


@pytest.mark.parametrize("loss", [None, SampledSoftmaxLoss(12, 0.5)])
def test_learns_a_walk(store, tmp_path, loss):
    _, training, _ = fitted(store, tmp_path, loss=loss)
    assert float(training.callback_metrics["validation/ndcg@10"]) > 0.9
    assert float(training.callback_metrics["train/loss"]) < 1


def test_writes_what_the_next_stages_read(store, tmp_path):
    module, training, data = fitted(store, tmp_path)
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
    assert json.loads((folder / "config.json").read_text())["num_items"] == ITEMS

    tested = trainer(1, tmp_path).test(module, datamodule=data, verbose=False)[0]
    own = evaluate_scores(lambda b: ranker.scores(b["history"]), data.test_dataloader())
    assert tested["test/mrr@20"] == pytest.approx(own.metrics()["mrr@20"], abs=1e-6)
    counts = torch.from_numpy(data.store.popularity()).double()
    other = evaluate_scores(lambda b: counts.expand(len(b["user"]), -1), data.test_dataloader())
    assert own.bootstrap(other).low > 0


def test_a_resumed_run_ends_where_an_unbroken_one_does(store, tmp_path):
    whole, *_ = fitted(store, tmp_path, epochs=4)

    class Stop(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "half.ckpt")

    # Stopped half-way: the schedule still looks forward to four epochs.
    fitted(store, tmp_path, epochs=4, callbacks=[Stop()])
    rest, *_ = fitted(store, tmp_path, epochs=4, seed=7, checkpoint=tmp_path / "half.ckpt")
    for a, b in zip(whole.parameters(), rest.parameters(), strict=True):
        assert torch.equal(a, b)


def test_text_vectors_come_from_the_encoder(store, tmp_path):
    data = SequenceData(str(store), text_encoder=Letters(), max_length=8)
    texts = ["", "abba", "cab", *[""] * (ITEMS - 3)]
    data.store.__dict__["catalog"] = data.store.catalog.with_columns(text=pl_frames.Series(texts))
    assert data.vector_size == 3
    assert data.vectors[:5].tolist() == [[0, 0, 0], [0, 0, 0], [2, 2, 0], [1, 1, 1], [0, 0, 0]]
    module = RankingModule(ITEMS, 3, size=16, max_length=8)
    trainer(1, tmp_path).fit(module, datamodule=data)
    assert torch.equal(module.ranker.items.vectors, data.vectors)
    assert module.ranker.items.project.weight.abs().sum() > 0


def test_a_ranker_learns_a_walk_from_words_alone(store, tmp_path):
    pl.seed_everything(0, verbose=False)
    data = SequenceData(str(store), max_length=8, batch_size=8, reads=["title"])
    names = [f"at{i % 6} row{i // 6} lone{i}" for i in range(ITEMS)]
    data.store.__dict__["catalog"] = data.store.catalog.with_columns(title=pl_frames.Series(names))
    assert data.reading == (1, 2, 11, 64)
    assert data.tokens.names[:3] == ["", "at0", "at1"]
    own = {"tower": TOWER, "use_ids": False, "learning_rate": 0.03, "reading": data.reading}
    module = RankingModule(ITEMS, 0, size=16, max_length=8, **own)
    training = trainer(4, tmp_path)
    training.fit(module, datamodule=data)
    assert float(training.callback_metrics["validation/ndcg@10"]) > 0.8
    training.save_checkpoint(tmp_path / "one.ckpt")
    again = RankingModule.load_from_checkpoint(tmp_path / "one.ckpt", weights_only=True).eval()
    assert torch.equal(again.ranker.item_vectors(), module.eval().ranker.item_vectors())
    with pytest.raises(RecipeError, match="has a reader, and the data section names nothing"):
        fitted(store, tmp_path, epochs=1, reader=SelfAttentionReader)


def test_a_log_without_an_order_is_refused(tmp_path):
    log = pl_frames.DataFrame({"user": ["a", "b"], "item": ["x", "y"], "time": [1, 2]})
    data = SequenceData(str(prepared(log, tmp_path / "d")))
    with pytest.raises(DataError, match="two training events"):
        data.train_dataloader()
    with pytest.raises(DataError, match="no validation events"):
        data.val_dataloader()
