"""Fast exact draws of ordered slates from long rows of logits.

Independent draws from a softmax, of which the first K distinct ones are kept, have the
Plackett–Luce law: whatever came before, the next new column is one of those left with probability
∝ exp(logit). For the same reason one may stop after any number of draws, take out what was found,
and continue with the rest. A row then needs a few random numbers, not one for each column.

The distribution, with gradients, is :class:`~lightrec.nn.plackett_luce.PlackettLuce`.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

EMPTY = -1
"""Fills the last places of a slate where fewer columns than places may be drawn."""


class SlateSampler:
    """Draws ordered slates for up to R rows at a time, in memory of its own that is used again.

    Weights exp(logit - shift) are summed up in blocks. A draw finds its block first and the column
    within it after that; so a slate costs a few numbers beside one look at each column.

    :param rows: R.
    :param columns: N, at least 1.
    :param places: K, at least 1.
    :param like: a tensor on whose device, and in whose type, logits will be.
    :param draws: columns drawn at a time, by default a few more than places.
    :param block: columns of a block, by default what lets both searches cost the same.
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        places: int,
        like: Tensor,
        draws: int | None = None,
        block: int | None = None,
    ) -> None:
        self.columns, self.places = columns, places
        self.draws = draws or places + 2 + places // 4
        self.block = block or 2 ** max(4, round(math.log2(columns / self.draws) / 2))
        self.blocks = -(-columns // self.block)
        self.type = torch.float64 if like.dtype == torch.float64 else torch.float32
        self.excluded = torch.finfo(like.dtype).min / 8
        # Fresh memory for every few rows would cost as much as the draws do. Columns that only
        # fill the last block up keep weight 0.
        self._memory = like.new_empty(rows, self.blocks * self.block, dtype=self.type)
        self._memory[:, columns:] = 0

    def draw(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Draw a slate for each row from torch's global generator.

        :param logits: (P, N) with P at most R.
        :returns: (P, K) int64 columns; and for :func:`ordered_steps` (P, K) float64 logits of
            these, and (P, 1) float64 logarithm of the sum of exp(logit) over all other columns, NaN
            where a logit is no number.
        """
        self._logits = logits.to(self.type)
        self._weights = self._memory[: len(logits)]
        self._shift = self._weigh(self._logits, self._weights)
        self._sums = _summed(self._weights.unflatten(1, (self.blocks, self.block)))
        self._filled = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
        # One place more than there are takes what is drawn again.
        self._slate = self._filled.new_full((len(logits), self.places + 1), EMPTY)
        rows = torch.arange(len(logits), device=logits.device)
        # Every round takes at least one column out of each row that has any left.
        for _ in range(self.places):
            sums = (self._sums if len(rows) == len(logits) else self._sums[rows]).cumsum(1)
            going = sums[:, -1] > 0
            if not going.all():
                rows, sums = rows[going], sums[going]
            self._take(rows, sums)
            rows = rows[self._filled[rows] < self.places]
            if not len(rows):
                break
            self._refresh(rows)
        slate = self._slate[:, : self.places]
        chosen = self._logits.gather(1, slate.clamp_min(0)).double()
        left = self._sums.sum(1, keepdim=True)
        return slate, chosen, torch.where(left == 0, -torch.inf, left.log() + self._shift)

    def _weigh(self, logits: Tensor, weights: Tensor) -> Tensor:
        """Write weights and give the shift (P, 1): infinite where there is nothing to draw from."""
        highest = logits.amax(1, keepdim=True)
        shift = torch.where((highest > self.excluded) & (highest < torch.inf), highest, torch.inf)
        # A power of 2 costs a third of what torch's exp does, where that is another library's.
        powers = torch.sub(logits, shift, out=weights[:, : self.columns])
        powers.mul_(math.log2(math.e)).exp2_()
        return shift

    def _take(self, rows: Tensor, sums: Tensor) -> None:
        """Draw independently from what is left of rows (P,), keep what is new, and take it out.

        :param sums: (P, blocks) of the blocks' weights up to each.
        """
        points = torch.rand(2, len(rows), self.draws, dtype=torch.float64, device=rows.device)
        where = passed(sums, points[0])
        blocks = rows.unsqueeze(1) * self.blocks + where
        by_block = self._memory.view(-1, self.block)
        within = by_block[blocks].cumsum(2, dtype=torch.float64)
        column = where * self.block + passed(within, points[1].unsqueeze(2)).squeeze(2)

        new = (column.unsqueeze(2) == column.unsqueeze(1)).tril_(-1).any(2).logical_not_()
        place = new.cumsum(1).add_(self._filled[rows].unsqueeze(1))
        self._filled[rows] = place[:, -1].clamp_max(self.places)
        place = torch.where(new, place - 1, self.places).clamp_max_(self.places)
        self._slate[rows.unsqueeze(1), place] = column

        # The first column drawn is always new, and stands in for those that are not taken.
        taken = place < self.places
        column = torch.where(taken, column, column[:, :1])
        blocks = torch.where(taken, blocks, blocks[:, :1])
        self._weights[rows.unsqueeze(1), column] = 0
        self._sums.view(-1)[blocks] = _summed(by_block[blocks])

    def _refresh(self, rows: Tensor) -> None:
        """Weigh again where so little is left that weights were lost beside those taken out."""
        rows = rows[self._sums[rows].sum(1) < torch.finfo(self.type).tiny ** 0.5]
        if len(rows):
            slate = self._slate[rows, : self.places]
            slate = torch.where(slate < 0, slate[:, :1], slate)
            logits = self._logits[rows].scatter_(1, slate, -torch.inf)
            weights = self._weights[rows]
            self._shift[rows] = self._weigh(logits, weights)
            self._weights[rows] = weights
            self._sums[rows] = _summed(weights.unflatten(1, (self.blocks, self.block)))


def _summed(blocks: Tensor) -> Tensor:
    # Added up as doubles from here: small blocks next to a large one must not be lost.
    return blocks.sum(-1).double()


def ordered_steps(chosen: Tensor, never: Tensor, filled: Tensor) -> Tensor:
    """Log-probabilities (..., K) of a slate's places, each given those before it.

    What is left before a place are the columns never chosen and those chosen from here on: sums of
    positive terms only, so nothing cancels.

    :param chosen: (..., K) logits of the columns chosen.
    :param never: (..., 1) logarithm of the sum of exp(logit) over all other columns.
    :param filled: (..., K) bool; what is not filled counts for nothing.
    """
    late = chosen.masked_fill(~filled, -torch.inf).flip(-1)
    left = torch.cat([never, late], -1).logcumsumexp(-1)[..., 1:].flip(-1)
    return torch.where(filled, chosen - left, 0.0)


def passed(sums: Tensor, points: Tensor) -> Tensor:
    """Find where ascending float64 sums (..., n) first pass points (..., D) of the way to the last.

    :param points: float64 in [0, 1). Times the whole they stay below the whole, so that a term of 0
        is never the one to pass a point.
    """
    place = torch.searchsorted(sums, points * sums[..., -1:], right=True)
    return place.clamp_max_(sums.shape[-1] - 1)


CHUNK = 2**21
"""Logits that are worked on at a time: few enough for a processor's cache."""


class Slates(NamedTuple):
    """Slates as they were drawn."""

    columns: Tensor
    """(R, K) int64 distinct columns; :data:`~lightrec.nn.slates.EMPTY` where none was left."""
    log_probabilities: Tensor
    """(R,) logarithm of the probability of drawing exactly this slate in this order."""


@torch.no_grad()
def draw_slates(logits: Tensor, slate_size: int) -> Slates:
    """Draw a slate for each row from torch's global generator, without gradients.

    :param logits: (R, N) floating point; high means drawn early. Minus infinity excludes a column,
        and so does an eighth of the type's lowest number.
    :param slate_size: places K, at least 1; more than N leaves the last ones empty.
    :returns: slates of R rows, empty with log-probability NaN where a logit is NaN or infinite.
    """
    parts = chunks(*logits.shape)
    sampler = SlateSampler(parts[0].stop, logits.shape[1], slate_size, logits)
    return joined([sampler.draw(logits[rows]) for rows in parts], logits)


def chunks(rows: int, columns: int) -> list[slice]:
    """Cut rows into even parts, at least one, of :data:`CHUNK` numbers at most or of one row."""
    most = max(1, CHUNK // max(columns, 1))
    size = max(1, -(-rows // max(1, -(-rows // most))))
    return [slice(start, min(start + size, rows)) for start in range(0, max(rows, 1), size)]


def joined(drawn: list[tuple[Tensor, Tensor, Tensor]], like: Tensor) -> Slates:
    """Join what :meth:`SlateSampler.draw` gave of parts of the rows.

    :param like: a tensor of whose type the log-probabilities will be.
    """
    columns, chosen, never = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    steps = ordered_steps(chosen, never, columns >= 0).sum(1)
    unknown = never.squeeze(1).isnan()
    return Slates(columns, steps.masked_fill_(unknown, torch.nan).to(like.dtype))
