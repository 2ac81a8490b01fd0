"""Going on from an earlier ranker after its log has grown.

Items and users have other numbers in the longer log; ids say who is who.
"""

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightrec.data.sequences import Sequences
from lightrec.data.store import EventStore
from lightrec.keys import PADDING, Column
from lightrec.ranking.ranker import Ranker

ITEM_TABLES = ("items.ids", "bias")
"""Parameters with a row for every item."""


def numbers_before(ids: pl.Series, before: pl.Series) -> NDArray[np.int64]:
    """Places that ids have among other ids.

    :returns: counted from 0; -1 where an id is not among them.
    """
    numbered = before.to_frame("id").with_row_index("place")
    joined = ids.to_frame("id").join(numbered, on="id", how="left", maintain_order="left")
    return joined["place"].cast(pl.Int64).fill_null(-1).to_numpy(writable=True)


def items_before(store: EventStore, before: EventStore) -> Tensor:
    """Each item's number in an earlier store: (N + 1,) int64, 0 for padding and new items."""
    items = (each.catalog[Column.ITEM] for each in (store, before))
    return torch.from_numpy(np.append(PADDING, numbers_before(*items) + 1))


@torch.no_grad()
def take_over(ranker: Ranker, earlier: Ranker, store: EventStore, before: EventStore) -> list[str]:
    """Take over the weights of an earlier ranker, those of items and feedback by name.

    A new item's vector and bias are those that a linear map predicts from where its vector starts
    and from how often it was chosen; the map is fitted to the items that the earlier ranker knows.

    :param ranker: as it is before training; changed in place.
    :param store: its log, and ``before`` that of the earlier ranker.
    :returns: names of parameters that had no earlier weights of their shape, and start again.
    """
    places, learned = items_before(store, before), dict(earlier.named_parameters())
    new, anew = places == PADDING, list[str]()
    counts = torch.from_numpy(store.popularity()).float().log1p()[:, None]
    ids = [] if ranker.items.ids is None else [ranker.items.ids.cpu()]
    start = torch.cat([*ids, counts, torch.ones_like(counts)], dim=1).double()
    kinds = [["", *each.feedback_kinds] for each in (store, before)]
    for name, weights in ranker.named_parameters():
        earlier_weights = learned.get(name)
        fits = earlier_weights is not None and earlier_weights.shape[1:] == weights.shape[1:]
        if earlier_weights is not None and fits and name in ("feedback", "asked"):
            now, then = (pl.Series(rows, dtype=pl.String) for rows in kinds)
            rows = torch.from_numpy(numbers_before(now, then))
            weights.copy_(torch.where((rows >= 0)[:, None], earlier_weights[rows], weights.cpu()))
        elif earlier_weights is not None and fits and name in ITEM_TABLES:
            taken = earlier_weights[places]
            foretold = taken.reshape(len(taken), -1).double()
            if (~new).any():
                solved = torch.linalg.lstsq(start[~new], foretold[~new], driver="gelsd").solution
                foretold[new] = start[new] @ solved
            weights.copy_(foretold.reshape(weights.shape))
            weights[PADDING] = earlier_weights[PADDING]
        elif earlier_weights is not None and earlier_weights.shape == weights.shape:
            weights.copy_(earlier_weights)
        else:
            anew.append(name)
    return anew


def windows_to_train(
    training: Sequences,
    store: EventStore,
    before: EventStore,
    length: int,
    replay: float,
    seed: int,
) -> NDArray[np.int64]:
    """Choose how many of each user's last windows a continued training sees.

    Those with events that were no training events before, and all windows of a share of the other
    users, so that what was learned of them is not forgotten.

    :param training: the training events of the longer log.
    :param length: of a window.
    :param replay: the share.
    :returns: (U,) int64; where more than a user has, all count.
    """
    rows = numbers_before(store.user_ids, before.user_ids)
    earlier = np.diff(Sequences.all_events(before).training().offsets)
    fresh = np.diff(training.offsets) - np.where(rows < 0, 0, np.append(earlier, 0)[rows])
    # A window's borders move, so that the last one may begin after the first fresh event.
    last = np.where(fresh > 0, -(-fresh // length) + 1, 0)
    drawn = np.random.default_rng((seed, 1)).random(len(last)) < replay
    return np.where((last == 0) & drawn, np.iinfo(np.int64).max, last)
