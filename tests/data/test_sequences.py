"""Buckets by hand."""

import numpy as np
import torch

from lightrec.data.sequences import gap_buckets, with_only
from lightrec.keys import Key

MINUTE, DAY = 60_000, 24 * 60 * 60_000


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
