"""Transforms of training batches that make every epoch's histories a little different.

They work on what :class:`~lightrec.ranking.sequence_data.TrainWindows` gives; held-out events are
never transformed. Crop, mask and reorder are those of CL4SRec (Xie et al. 2022), used here to
augment the training of next items, without its contrastive loss.
"""

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightrec.errors import RecipeError
from lightrec.keys import PADDING, Key

Batch = dict[str, Tensor]


class SequenceTransform(ABC):
    """Changes the training batch of an epoch by chance.

    :param share: of a window's inputs that the change is about, 0 to 1, rounded down.
    :param probability: of each window to be changed, 0 to 1.
    :raises RecipeError: where one of them is not between 0 and 1.
    """

    def __init__(self, share: float = 0.2, probability: float = 0.5) -> None:
        for name, value in (("share", share), ("probability", probability)):
            if not 0 <= value <= 1:
                raise RecipeError(
                    f"{type(self).__name__} got {name} {value}: give a number from 0 to 1."
                )
        self.probability, self.share = probability, share

    @abstractmethod
    def __call__(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """Give a changed batch, and leave the given one as it is.

        :param batch: history and target (B, L), padded on the left, and seen (B, S); feedback,
            gap, asked and reached (B, L) where the log has them.
        :param generator: the only source of chance.
        :returns: the same keys; L and S may differ. Where a position has a target, it is an item
            that followed the position's input, and its feedback is that input's own.
        """

    def _drawn(
        self, history: NDArray[np.int64], generator: np.random.Generator
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.bool_]]:
        """Give where inputs are (B, L), how many (B, 1), and draw which windows change (B, 1)."""
        inside = history != PADDING
        chosen = generator.random((len(history), 1)) < self.probability
        return inside, inside.sum(axis=1, keepdims=True), chosen


class Crop(SequenceTransform):
    """Keeps a contiguous part of a window, from a place drawn at random.

    The part's targets go with it, and its feedback and gaps. Items before it count as seen, as
    those before the window do.

    :param share: of the inputs that are kept, rounded down, at least one.
    :param probability: of each window to be cropped.
    """

    def __init__(self, share: float = 0.6, probability: float = 0.5) -> None:
        super().__init__(share, probability)

    def __call__(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """Crop some windows."""
        history = batch[Key.HISTORY].numpy()
        inside, length, chosen = self._drawn(history, generator)
        width = np.where(chosen, np.maximum(1, (self.share * length).astype(np.int64)), length)
        first = generator.integers(0, np.maximum(length - width, 0) + 1)
        place = inside.cumsum(axis=1) - 1  # of each input in its window
        before = inside & (place < first)
        changed = _select(batch, inside & (place >= first) & (place < first + width))
        if before.any():
            known = batch.get(Key.REACHED, batch[Key.HISTORY]).numpy()
            passed = torch.from_numpy(np.where(before, known, PADDING))
            changed[Key.SEEN] = torch.cat([batch[Key.SEEN], passed], dim=1)
        return changed


class Mask(SequenceTransform):
    """Leaves inputs out of a window, drawn at random, as if these events had not been recorded.

    The others keep their targets: the item that followed in the log. What was left out is neither
    an input nor seen; it remains the target of the input before it. The gaps of the others stay:
    the time since the event before in the log, whether that was left out or not. One input stays.
    """

    def __call__(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """Leave inputs out of some windows."""
        history = batch[Key.HISTORY].numpy()
        inside, length, chosen = self._drawn(history, generator)
        count = np.minimum((self.share * length).astype(np.int64), length - 1) * chosen
        chance = np.where(inside, generator.random(history.shape), np.inf)
        rank = chance.argsort(axis=1).argsort(axis=1)
        return _select(batch, inside & (rank >= count))


class Reorder(SequenceTransform):
    """Shuffles a short span of a window's events, drawn at random.

    Events move as inputs and as targets alike, so that a position's target stays the item that
    follows it. Feedback moves with its event, while the moments, and so the gaps, stay where they
    are. A window's first input stays: the position that it is the target of lies before the window.
    """

    def __call__(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """Shuffle a span of some windows."""
        history = batch[Key.HISTORY].numpy()
        _, length, chosen = self._drawn(history, generator)
        width = np.minimum((self.share * length).astype(np.int64), length - 1) * chosen
        columns = np.arange(history.shape[1])[None]
        begin = history.shape[1] - length + 1
        begin = begin + generator.integers(0, np.maximum(length - 1 - width, 0) + 1)
        span = (columns >= begin) & (columns < begin + width)
        # Within the span by chance, everywhere else by place.
        key = np.where(span, begin + generator.random(history.shape) * width, columns + 0.0)
        order = key.argsort(axis=1, kind="stable")
        moved: Batch = {
            name: torch.from_numpy(np.take_along_axis(batch[name].numpy(), order, 1))
            for name in (Key.HISTORY, Key.FEEDBACK, Key.REACHED)
            if name in batch
        }
        # The event at column c is the target at column c - 1.
        for name in {Key.TARGET, Key.ASKED} & batch.keys():
            told = batch[name].numpy()
            aims = np.take_along_axis(told, np.maximum(order[:, 1:] - 1, 0), 1)
            aims = np.where(span[:, 1:], aims, told[:, :-1])
            moved[name] = torch.from_numpy(np.concatenate([aims, told[:, -1:]], axis=1))
        return {**batch, **moved}


def _select(batch: Batch, kept: NDArray[np.bool_]) -> Batch:
    """Keep some positions of all that is (B, L), and pad on the left again."""
    length = max(int(kept.sum(axis=1).max(initial=1)), 1)
    order = kept.argsort(axis=1, kind="stable")[:, -length:]
    stays = np.take_along_axis(kept, order, 1)
    names = batch.keys() - {Key.SEEN}
    moved = {name: np.take_along_axis(batch[name].numpy(), order, 1) for name in names}
    return batch | {n: torch.from_numpy(np.where(stays, t, PADDING)) for n, t in moved.items()}
