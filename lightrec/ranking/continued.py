"""Going on from an earlier ranker: after its log has grown, or on the log of another catalog.

Items and users have other numbers in the longer log; ids say who is who. Items of another catalog
are others whatever their ids are, and only what the ranker has learned of no single item is taken.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightrec.data.attributes import item_features
from lightrec.data.sequences import Sequences
from lightrec.data.store import EventStore
from lightrec.encoders.base import Encoder, item_vectors
from lightrec.errors import RecipeError
from lightrec.keys import PADDING, Column
from lightrec.ranking.ranker import Ranker

ITEM_TABLES = ("items.ids", "bias")
"""Parameters with a row for every item."""
NAMED = ("feedback", "asked", "items.describe")
"""Parameters with a row for every kind of feedback or feature, which zeros start."""
COMPARED = 8
"""Texts of so many items tell whether two rankers read the same vectors."""


def numbers_before(ids: pl.Series, before: pl.Series) -> NDArray[np.int64]:
    """Give the places that ids have among other ids.

    :returns: counted from 0; -1 where an id is not among them.
    """
    known = before.to_frame("id").with_row_index("place")
    found = ids.to_frame("id").join(known, on="id", how="left", maintain_order="left")
    return found["place"].cast(pl.Int64).fill_null(-1).to_numpy(writable=True)


def items_before(store: EventStore, before: EventStore) -> Tensor:
    """Give each item's number in an earlier store: (N + 1,) int64, 0 for padding and new items."""
    items = (each.catalog[Column.ITEM] for each in (store, before))
    return torch.from_numpy(np.append(PADDING, numbers_before(*items) + 1))


@torch.no_grad()
def take_over(
    ranker: Ranker,
    earlier: Ranker,
    store: EventStore,
    before: EventStore,
    words: tuple[Sequence[str], Sequence[str]] | None = None,
) -> list[str]:
    """Give a ranker the weights of an earlier one, those of items, features and feedback by name.

    A new item's vector and bias are those that a linear map foretells from where its vector starts
    and from how often it was chosen; the map is fitted to the items that the earlier ranker knows.

    :param ranker: as it is before training; changed in place.
    :param store: its log, and ``before`` that of the earlier ranker.
    :param words: its reader's vocabulary, and that of the earlier ranker.
    :returns: names of parameters that had no earlier weights of their shape, and start anew.
    """
    places, known = items_before(store, before), dict(earlier.named_parameters())
    new, anew = places == PADDING, list[str]()
    counts = torch.from_numpy(store.popularity()).float().log1p()[:, None]
    ids = [] if ranker.items.ids is None else [ranker.items.ids.cpu()]
    start = torch.cat([*ids, counts, torch.ones_like(counts)], dim=1).double()
    for name in take_over_by_name(ranker, earlier, store, before, words):
        weights, own = ranker.get_parameter(name), known.get(name)
        if name in ITEM_TABLES and own is not None and own.shape[1:] == weights.shape[1:]:
            taken = own[places]
            foretold = taken.reshape(len(taken), -1).double()
            if (~new).any():
                solved = torch.linalg.lstsq(start[~new], foretold[~new], driver="gelsd").solution
                foretold[new] = start[new] @ solved
            weights.copy_(foretold.reshape(weights.shape))
            weights[PADDING] = own[PADDING]
        elif own is not None and own.shape == weights.shape:
            weights.copy_(own)
        else:
            anew.append(name)
    return anew


@torch.no_grad()
def take_over_by_name(
    ranker: Ranker,
    earlier: Ranker,
    store: EventStore,
    before: EventStore,
    words: tuple[Sequence[str], Sequence[str]] | None = None,
) -> list[str]:
    """Give a ranker an earlier one's weights of kinds of feedback, features and words, by name.

    The arguments are those of :func:`take_over`.

    :returns: names of all other parameters, and of those without earlier weights.
    """
    kinds = [["", *each.feedback_kinds] for each in (store, before)]
    named = {"feedback": kinds, "asked": kinds} | ({"items.words": words} if words else {})
    if ranker.items.describe is not None:
        named["items.describe"] = [item_features(each)[0].names for each in (store, before)]
    known, others = dict(earlier.named_parameters()), []
    for name, weights in ranker.named_parameters():
        own = known.get(name)
        if name in named and own is not None and own.shape[1:] == weights.shape[1:]:
            now, then = (pl.Series(rows, dtype=pl.String) for rows in named[name])
            rows = torch.from_numpy(numbers_before(now, then))
            weights.copy_(torch.where((rows >= 0)[:, None], own[rows], weights.cpu()))
        else:
            others.append(name)
    return others


def move(
    ranker: Ranker,
    earlier: Ranker,
    store: EventStore,
    before: EventStore,
    encoder: Encoder | None,
    words: tuple[Sequence[str], Sequence[str]] | None = None,
) -> None:
    """Give a ranker what that of another catalog has learned, save of its items: they start anew.

    The arguments are those of :func:`take_over`, and

    :param encoder: whose vectors the ranker reads.
    :raises RecipeError: where the other one reads no texts or other vectors of them, or where
        classes or sizes do not fit.
    """
    tower = earlier.items
    if tower.project is None and tower.reader is None:
        raise RecipeError(
            "The ranker to go on from reads no texts, and what it has learned of its own items "
            "tells nothing of others: train it with texts and use_ids false, or leave out "
            "`continues`."
        )
    some = before.catalog.head(COMPARED)
    if tower.project is not None and (
        encoder is None
        or encoder.size != tower.vectors.shape[1]
        or not torch.allclose(item_vectors(encoder, some), tower.vectors[: COMPARED + 1], atol=0.01)
    ):
        raise RecipeError(
            "The ranker to go on from reads other vectors of texts than this one would: name the "
            "text encoder that it reads, such as the folder `text` of its run, with "
            "--values.text_encoder.model, and leave that one as it is with "
            "--text.model.init_args.tune none."
        )
    left = take_over_by_name(ranker, earlier, store, before, words)
    ranker.take_weights(earlier, [name for name in left if name not in (*ITEM_TABLES, *NAMED)])


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
