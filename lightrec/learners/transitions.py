"""Transitions as learners keep them: their keys, packed masks, several steps.

A transition is a TensorDict in TorchRL's form: at its root what the policy reads of a state, what
was shown and with which probability; under ``next`` the state that followed, the reward, and
whether the session is over.
"""

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.keys import PADDING, Key
from lightrec.nn.plackett_luce import EMPTY

FEATURES = "features"
"""Key of a state's features (..., S), which critics see."""
SLATE = "slate"
"""Key of the items shown (..., K) int64; ``action`` holds the columns in which they stand."""
CLICKED_COLUMN = "clicked_column"
"""Key of the column that was taken (..., 1) int64, or EMPTY."""
PACKED = "packed_mask"
"""Key of a state's mask as bytes, (..., ⌈(N + 1) / 8⌉) uint8."""
STEPS_AHEAD = "steps_to_next_obs"
"""TorchRL's key of how many steps further the next state is, (..., 1) int64."""


def drawn(rows: TensorDictBase, count: int) -> TensorDictBase:
    """Draw transitions evenly with replacement, from torch's global generator."""
    return rows[torch.randint(len(rows), (count,), device=rows.device)]


def stretches(
    reward: Tensor, done: Tensor, length: int, discount: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Look ahead from each step as far as a session continues, and no further than n steps.

    No step of what follows a session's end counts, whether it ended or was cut. TorchRL's
    ``MultiStep`` leaves ``terminated`` that of the first step, so this one is.

    :param reward: (B, T, 1).
    :param done: (B, T, 1) bool: the session was over after the step.
    :param length: n, 1 or more.
    :param discount: γ.
    :returns: (B, T, 1) discounted sum of the rewards on the way; (B, T, 1) int64 how many steps
        that were; (B, T) int64 the last of them, after which comes the next state.
    """
    rows, time = done.shape[:2]
    start = torch.arange(time, device=done.device).expand(rows, -1)
    going = torch.ones_like(done[..., 0])
    total, last = torch.zeros_like(reward[..., 0]), start
    for ahead in range(length):
        step = (start + ahead).clamp_max(time - 1)
        going = going & (start + ahead < time)
        total = total + discount**ahead * reward[..., 0].gather(1, step) * going
        last = torch.where(going, step, last)
        going = going & ~done[..., 0].gather(1, step)
    return total.unsqueeze(-1), (last - start + 1).unsqueeze(-1), last


def pack(mask: Tensor) -> Tensor:
    """Write masks (..., N) bool as bytes (..., ⌈N / 8⌉) uint8, the first column lowest."""
    whole = torch.nn.functional.pad(mask, (0, -mask.shape[-1] % 8)).unflatten(-1, (-1, 8))
    return (whole << _bits(mask)).sum(-1, dtype=torch.uint8)


def unpack(packed: Tensor, columns: int) -> Tensor:
    """Masks (..., N) bool of N columns, from their bytes."""
    return ((packed.unsqueeze(-1) >> _bits(packed)) & 1).bool().flatten(-2)[..., :columns]


def _bits(like: Tensor) -> Tensor:
    return torch.arange(8, dtype=torch.uint8, device=like.device)


def clicked_column(columns: Tensor, taken: Tensor) -> Tensor:
    """Find the column that was taken, the first one of several.

    :param columns: (..., K) int64 that were shown.
    :param taken: (..., K) bool: which of them were taken.
    :returns: (..., 1) int64, EMPTY where none was.
    """
    place = taken.to(torch.int8).argmax(-1, keepdim=True)
    return torch.where(taken.any(-1, keepdim=True), columns.gather(-1, place), EMPTY)


def slates_alone(rows: TensorDictBase) -> TensorDictBase:
    """States in which nothing was offered but the slate: columns are its places.

    What is learned of the items shown alone needs no scores of all the others.

    :param rows: with ``slate`` (..., K) items, and the column that was taken.
    """
    slate = rows[SLATE]
    places = torch.arange(slate.shape[-1], device=slate.device).expand_as(slate)
    taken = (rows[Key.ACTION] == rows[CLICKED_COLUMN]) & (slate != PADDING)
    slate_alone = {
        Key.CANDIDATES: slate,
        Key.ACTION: places.masked_fill(slate == PADDING, EMPTY),
        CLICKED_COLUMN: clicked_column(places, taken),
    }
    return rows.exclude(Key.MASK, PACKED).update(slate_alone)
