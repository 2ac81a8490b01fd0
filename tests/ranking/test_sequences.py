"""Windows to train on and held-out events: what each holds, and that no target tells of itself."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lightrec.data.sequences import Sequences, gap_buckets, with_only
from lightrec.data.share import RowSampler
from lightrec.data.store import CONTEXT, TEST, TRAIN, VALIDATION
from lightrec.keys import Key
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.sequence_data import TrainWindows


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
    own = {"num_items": 90, "has_nothing": True, "leads": None, "reaches": True}
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


DAY = 24 * 60 * 60_000


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
