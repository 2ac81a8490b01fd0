"""A ranker in training: the windows it sees, what it learns, leaves, goes on from, and reads."""

import json
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import polars as frames
import pytest
import torch
from lightrec_testing import tiny
from safetensors.torch import load_file

from lightrec.api import DataError, HeldOutLog, Ranker, RecipeError, Run, by_history
from lightrec.data.files import STAMP
from lightrec.data.sequences import Sequences, gap_buckets, with_only
from lightrec.data.share import RowSampler
from lightrec.data.store import CONTEXT, TEST, TRAIN, VALIDATION
from lightrec.encoders.words import WordEncoder
from lightrec.keys import Key
from lightrec.nn.towers import CausalTransformer
from lightrec.ranking import sequence_data
from lightrec.ranking.blend import Blend
from lightrec.ranking.blending import judge, validation_events
from lightrec.ranking.continued import items_before, take_over, windows_to_train
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models.base import RecentPopularity
from lightrec.ranking.losses import SampledSoftmaxLoss
from lightrec.ranking.metrics import evaluate_scores
from lightrec.ranking.module import RankingModule
from lightrec.ranking.sequence_data import SequenceData, TrainWindows
from tests.learners.training import Again
from tests.ranking.training import fitted, trainer
from tests.users.stores import prepared


def test_gradients_are_clipped_in_mixed_precision(tmp_path):
    module, data = RankingModule(tiny.ITEMS, 0, 8), SequenceData(str(tiny.kit_store().folder))
    trainer(1, tmp_path, precision="bf16-mixed", gradient_clip_val=1.0).fit(module, data)


@pytest.mark.parametrize("loss", [None, SampledSoftmaxLoss(12, 0.5)])
def test_learns_a_walk_and_writes_what_the_next_stages_read(tmp_path, loss):
    # Users walk around circles of items, from where they happen to begin.
    module, training, data = fitted(tiny.kit_store(), tmp_path, loss=loss)
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


def test_text_vectors_come_from_the_encoder(tmp_path):
    data = SequenceData(str(tiny.kit_store().folder), text_encoder=WordEncoder(8), max_length=8)
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
    store = prepared({"user": list("aaaabbbb"), "item": list("12341234")}, tmp_path / "data")
    with pytest.raises(RecipeError, match=r"(?s)one kind of feedback.*has no times"):
        fitted(store, tmp_path, use_feedback=True, use_gaps=True)


ORDERS = {"a": "pqrst", "b": "qrstp", "c": "stpqr"}


def stored(folder, events):
    rows = [(u, i, n) for u, items in events.items() for n, i in enumerate(items)]
    return prepared(frames.DataFrame(rows, ["user", "item", "time"], orient="row"), folder)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    # "b" goes on with an item that comes first in the order of ids; "d" is new.
    longer = {**ORDERS, "b": "qrstpk", "d": "pq"}
    return stored(folder / "old", ORDERS), stored(folder / "new", longer)


def test_items_keep_their_weights_by_id_and_new_ones_lie_where_a_linear_map_puts_them(stores):
    old, new = stores
    torch.manual_seed(0)
    earlier, ranker = Ranker(5, size=4).eval(), Ranker(6, size=4).eval()
    places = items_before(new, old)
    assert places.tolist() == [0, 0, 1, 2, 3, 4, 5]
    # Learned vectors are start vectors turned: a new item's must be its start turned.
    turn = torch.linalg.qr(torch.randn(4, 4)).Q
    with torch.no_grad():
        ranker.items.ids[1:] = torch.randn(6, 4)
        ranker.items.ids[1:, 2:] = 0  # five items determine the map
        earlier.items.ids[1:] = ranker.items.ids[2:] @ turn
        earlier.bias.copy_(torch.arange(6.0))
    start = ranker.items.ids.detach().clone()
    assert take_over(ranker, earlier, new, old) == []
    assert torch.equal(ranker.items.ids[2:], earlier.items.ids[1:])
    assert torch.equal(ranker.bias[2:], earlier.bias[1:])
    assert ranker.items.ids[0].abs().sum() == 0
    torch.testing.assert_close(ranker.items.ids[1], start[1] @ turn)
    history = torch.tensor([[2, 3]])
    torch.testing.assert_close(ranker.scores(history)[:, 2:], earlier.scores(history - 1)[:, 1:])


@pytest.mark.filterwarnings("error")
def test_kinds_of_feedback_keep_their_weights_by_name(tmp_path):
    events = {"user": ["a"] * 4, "item": list("pqrs"), "time": range(4)}
    old, new = (
        prepared(events | {"feedback": kinds}, tmp_path / kinds[2])
        for kinds in (["view", "like", "view", "like"], ["view", "like", "cart", "like"])
    )
    earlier, ranker = (Ranker(4, size=4, feedback_kinds=n) for n in (2, 3))
    for table in (earlier.feedback, earlier.asked):
        torch.nn.init.normal_(table)
    assert take_over(ranker, earlier, new, old) == []
    for name in ("feedback", "asked"):
        own, before = getattr(ranker, name), getattr(earlier, name)
        for kind in ("view", "like"):
            row = 1 + new.feedback_kinds.index(kind)
            assert torch.equal(own[row], before[1 + old.feedback_kinds.index(kind)])
        assert not own[1 + new.feedback_kinds.index("cart")].any()


def test_training_sees_the_windows_with_new_events_and_some_others(stores):
    old, new = stores
    training = Sequences.all_events(new).training()
    assert new.user_ids.to_list() == ["a", "b", "c", "d"]
    last = windows_to_train(training, new, old, 2, 0.0, 0)
    # Of "b" one event more is for training; "d" has one event, which is none's successor.
    assert last.tolist() == [0, 2, 0, 2]
    assert (windows_to_train(training, new, old, 2, 1.0, 0) > 10**6).tolist() == [1, 0, 1, 0]
    windows = TrainWindows(training, 2, 10, last=np.array([0, 1, 1, 0]))
    cut = windows.windows(np.random.default_rng(0))
    assert len(cut) == len(windows) == 2
    ends = training.offsets[1:] - 1
    assert cut[:, 1].tolist() == ends[1:3].tolist()


def of(*users, **details):
    """Sequences of users, each of whom has items and their parts."""
    items, parts = (np.concatenate(column) for column in zip(*users, strict=True))
    offsets = np.cumsum([0, *(len(items) for items, _ in users)])
    log = Sequences(np.int32(items), np.int8(parts), offsets, np.arange(len(items)))
    return replace(log, **details)


@pytest.fixture
def sequences():
    users, first = [], 1
    for n in (9, 4, 25, 3):
        users.append((np.arange(first, first + n), [TRAIN] * (n - 2) + [VALIDATION, TEST]))
        first += n
    return of(*users)


@pytest.mark.parametrize("max_length", [1, 2, 5, 22])
def test_windows_cover_every_target_once_in_any_epoch(sequences, max_length):
    training = sequences.training()
    windows = TrainWindows(training, max_length, 50)
    sampler = RowSampler(windows.drawn, len(windows), 2, seed=3)
    starts = set()
    for epoch in range(6):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        assert sum(map(len, batches)) == len(windows)
        starts.add(tuple(np.sort(np.concatenate(batches)[:, 0])))
        pairs = []
        for number in batches:
            batch = windows[number]
            assert batch["history"].shape == batch["target"].shape
            assert batch["history"].shape[1] <= max_length
            inside = batch["target"] > 0
            assert torch.equal(inside, batch["history"] > 0)
            pairs += zip(
                batch["history"][inside].tolist(), batch["target"][inside].tolist(), strict=True
            )
            for row, (start, _) in enumerate(number):
                before = batch["seen"][row]
                user = training.users_of(start)
                assert before[before > 0].tolist() == (
                    training.items[training.offsets[user] : start].tolist()
                )
        expected = [(i, i + 1) for i in [*range(1, 7), 10, *range(14, 36)]]
        assert sorted(pairs) == expected
    # Borders move wherever a history of several windows does not fill them all.
    assert len(starts) == 1 if max_length in (1, 2, 22) else len(starts) > 1


def test_leave_one_out_histories(sequences):
    events = EvaluationEvents(sequences, TEST, 5, 10, None, 0)
    (batch,) = [events[i] for i in range(len(events))]
    assert batch["user"].tolist() == [3, 1, 0, 2]  # shortest histories first
    assert batch["target"].tolist() == [41, 13, 9, 38]
    assert batch["history"][2].tolist() == [4, 5, 6, 7, 8]  # the last one validates
    assert batch["history"][0].tolist() == [0, 0, 0, 39, 40]
    assert sorted(batch["seen"][2].tolist())[-8:] == [1, 2, 3, 4, 5, 6, 7, 8]
    with pytest.raises(IndexError):
        events[1]


def test_context_is_history_but_no_target():
    parts = [CONTEXT, TRAIN, CONTEXT, TRAIN, CONTEXT, TEST]
    sequences = of(([1, 2, 3, 4, 5, 6], parts))
    windows = TrainWindows(sequences.training(), 10, 5)
    batch = windows[windows.windows(np.random.default_rng(0))]
    assert batch["history"].tolist() == [[1, 2, 3]]
    assert batch["target"].tolist() == [[2, 0, 4]]
    held_out = EvaluationEvents(sequences, TEST, 10, 4, None, 0)[0]
    assert held_out["history"].tolist() == [[1, 2, 3, 4, 5]]


def test_events_that_chose_nothing_are_left_out():
    log = of(([1, 91, 2, 91, 3], [TRAIN, TRAIN, TRAIN, TEST, TEST]), ([91, 91], [TRAIN, TEST]))
    own = {"has_nothing": True, "leads": None, "in_sequence": log.items <= 90}
    sequences = Sequences.chosen(SimpleNamespace(**vars(log), **own))
    assert sequences.items.tolist() == [1, 2, 3]
    assert sequences.offsets.tolist() == [0, 3, 3]
    batch = EvaluationEvents(sequences, TEST, 4, 4, None, 0)[0]
    assert batch["history"].tolist() == [[1, 2]]
    assert batch["target"].tolist() == [3]


MINUTE = 60_000


def detailed(times=(0, 0, 1, 3, 11, 500), feedback=(1, 2, 2, 1, 3, 1)):
    """One user of six events, the last two held out, and one of three; times in minutes."""
    users = (range(1, 7), [TRAIN] * 4 + [VALIDATION, TEST]), (range(7, 10), [TRAIN, TRAIN, TEST])
    kinds, moments = np.int8([*feedback, 3, 2, 1]), np.array([*times, 70, 80, 90]) * MINUTE
    return of(*users, times=moments, feedback=kinds, has_times=True)


def test_windows_hold_their_events_feedback_and_the_gaps_before_them():
    windows = TrainWindows(detailed().training(), 10, 5)
    batch = windows[np.array([[0, 3], [4, 5]])]
    assert batch["history"].tolist() == [[1, 2, 3], [0, 0, 7]]
    assert batch["feedback"].tolist() == [[1, 2, 2], [0, 0, 3]]
    # At once, then after a minute; a user's first event has no gap.
    assert batch["gap"].tolist() == [[0, 1, 2], [0, 0, 0]]
    # What lies before a window is known, too.
    assert windows[np.array([[2, 3]])]["gap"].tolist() == [[2]]
    assert all(batch[name].dtype == torch.int64 for name in ("feedback", "gap"))


def test_the_target_says_nothing_of_itself():
    def batches(sequences):
        windows = TrainWindows(sequences.training(), 10, 5)
        events = [EvaluationEvents(sequences, part, None, 10, None, 0) for part in (TEST, 1)]
        return [windows[np.array([[0, 3]])], *(e[0] for e in events)]

    for changed, others in (
        # The last training event is the target of the window's last position.
        ({"times": (0, 0, 1, 9, 11, 500), "feedback": (1, 2, 2, 3, 3, 1)}, [0]),
        ({"times": (0, 0, 1, 3, 400, 500), "feedback": (1, 2, 2, 1, 2, 1)}, [0, 2]),
        ({"times": (0, 0, 1, 3, 11, 9000), "feedback": (1, 2, 2, 1, 3, 2)}, [0, 1, 2]),
    ):
        for number in others:
            before, after = batches(detailed())[number], batches(detailed(**changed))[number]
            assert before.keys() == after.keys() >= {"gap", "feedback"}
            # What is asked for is the kind of the target itself.
            told = before.keys() - {"asked"}
            assert all(torch.equal(before[name], after[name]) for name in told)


def test_buckets_double_from_a_minute_to_a_year():
    bounds = MINUTE * 2 ** np.arange(20)
    assert gap_buckets(bounds).tolist() == [*range(2, 22)]
    assert gap_buckets(bounds - 1).tolist() == [*range(1, 21)]
    # A day's 1,440 minutes lie between 1,024 and 2,048.
    others = [-5, 0, DAY, 365 * DAY, 4000 * 365 * DAY]
    assert gap_buckets(np.array(others)).tolist() == [1, 1, 12, 21, 21]


def test_events_are_left_out_with_what_is_known_of_them():
    history, kinds = torch.tensor([[[0, 5, 6, 7]], [[0, 1, 2, 3]]])
    batch = {Key.HISTORY: history, Key.FEEDBACK: kinds, Key.SEEN: history.clone()}
    batch[Key.TARGET] = torch.tensor([9])
    less = with_only(batch, torch.tensor([[1, 1, 0, 1], [1, 0, 0, 1]]).bool())
    assert less[Key.HISTORY].tolist() == [[0, 0, 5, 7], [0, 0, 0, 7]]
    assert less[Key.FEEDBACK].tolist() == [[0, 0, 1, 3], [0, 0, 0, 3]]
    assert less[Key.SEEN].tolist() == [[0, 5, 6, 7]] * 2
    assert less[Key.TARGET].tolist() == [9, 9]
