"""The Plackett–Luce distribution over ordered slates, in the manner of ``torch.distributions``.

Slates are drawn without replacement: each place goes to one of the columns still left, with
probability proportional to exp(logit). With slates of one it is the categorical distribution.
"""

from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.nn.functional import cross_entropy

from lightrec.data.share import random_rows, shared_rows
from lightrec.nn.precision import as_float64, at_least_float32
from lightrec.nn.slates import EMPTY, Slates, chunks, draw_slates, ordered_steps, passed


def may_be_shown(logits: Tensor) -> Tensor:
    """Tell which columns of logits ``(..., C)`` may be shown, bool."""
    return logits > _floor(logits) / 2


def at(values: Tensor, columns: Tensor) -> Tensor:
    """Read values ``(..., C)`` at columns ``(..., K)``; at empty places (-1) at the first one."""
    return values.gather(-1, columns.clamp_min(0))


def _floor(logits: Tensor) -> float:
    return torch.finfo(logits.dtype).min / 4


LONG = 256
"""Columns from which on, in rows that have as many as places squared, independent draws pay."""
MANY = 2**15
"""Logits, of all rows and draws, from which on they pay."""


class PlackettLuce(Distribution):
    """Ordered slates of distinct columns.

    Sampling is exact: one column by inversion; several of many by independent draws, see
    :mod:`lightrec.nn.slates`; several of few by adding Gumbel noise and taking the largest (Yellott
    1977; Kool, van Hoof and Welling 2019, "Stochastic beams and where to find them").

    :param logits: ``(..., N)`` floating point; high means drawn early. Minus infinity excludes.
    :param mask: ``(..., N)`` bool, False excludes a column; all may be drawn where it is None.
    :param slate_size: places K of a slate, 1 to N.
    :raises ValueError: where ``slate_size`` is out of range.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 (torch's own signature)
    has_rsample = False

    def __init__(self, logits: Tensor, mask: Tensor | None = None, slate_size: int = 1) -> None:
        columns = logits.shape[-1]
        if not 1 <= slate_size <= columns:
            raise ValueError(
                f"A slate of {slate_size} cannot be drawn from {columns} columns; "
                f"slate_size must lie between 1 and {columns}."
            )
        # Ratios of probabilities of many columns need more bits than mixed precision has.
        (logits,) = at_least_float32(logits)
        # A finite floor in place of minus infinity keeps 0 · log 0 and the gradients of rows in
        # which nothing is allowed free of NaN; exp(floor - maximum) is exactly 0.
        floor = self._floor = _floor(logits)
        # One pass over what may be the largest tensor of a training, not two.
        self.logits = logits.clamp_min(floor) if mask is None else torch.where(mask, logits, floor)
        self.slate_size = slate_size
        super().__init__(logits.shape[:-1], Size([slate_size]), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw slates from torch's global generator.

        :returns: ``(*sample_shape, ..., K)`` int64 columns; EMPTY (-1) where none was left.
        """
        with torch.no_grad():
            if self._pays(sample_shape):
                return self._draw(sample_shape).columns
            logits = self.logits.expand(*Size(sample_shape), *self.logits.shape)
            if self.slate_size == 1:
                return self._filled(_invert(logits), logits)
            rows, columns = logits.shape[:-1].numel(), logits.shape[-1]
            waiting = random_rows(lambda n: logits.new_empty(n, columns).exponential_(), rows)
            waiting = waiting.view_as(logits)
            waiting.clamp_min_(torch.finfo(logits.dtype).tiny).log_()
            return self._largest(torch.where(logits > self._floor / 2, logits - waiting, logits))

    def sample_and_log_prob(self, sample_shape: Any = ()) -> tuple[Tensor, Tensor]:
        """Results of :meth:`sample` and :meth:`log_prob`, where possible without a second look.

        The name by which TorchRL asks for it. Gradients flow into the log-probabilities.
        """
        learning = torch.is_grad_enabled() and self.logits.requires_grad
        if self._pays(sample_shape) and not learning:
            return self._draw(sample_shape)
        slates = self.sample(sample_shape)
        return slates, self.log_prob(slates)

    def _pays(self, sample_shape: Any) -> bool:
        """Whether to draw independently, measured on processors; a compiler has no use for it."""
        columns = self.logits.shape[-1]
        large = Size(sample_shape).numel() * self.logits.numel() >= MANY
        return (
            self.slate_size > 1
            and columns >= max(LONG, self.slate_size**2)
            and large
            and self.logits.device.type == "cpu"
            and not torch.compiler.is_compiling()
            and not shared_rows()  # how many numbers it takes depends on the rows
        )

    def _draw(self, sample_shape: Any) -> Slates:
        shape = (*Size(sample_shape), *self.batch_shape)
        rows = self.logits.detach().reshape(-1, self.logits.shape[-1])
        # Logits that are drawn from several times are not copied for all draws at once.
        parts = chunks(Size(sample_shape).numel(), rows.numel())
        drawn = [
            draw_slates(rows.expand(part.stop - part.start, -1, -1).flatten(0, 1), self.slate_size)
            for part in parts
        ]
        columns, log_probabilities = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        return Slates(columns.view(*shape, self.slate_size), log_probabilities.view(shape))

    @property
    def mode(self) -> Tensor:
        """The columns of largest logit in order, the most probable slate: ``(..., K)`` int64."""
        return self._largest(self.logits.detach())

    deterministic_sample = mode
    """The mode, under the name by which TorchRL asks for it."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm ``(...)`` of the probability of exactly this slate in this order.

        :param value: ``(..., K)`` int64 distinct columns; places that hold EMPTY count for nothing.
        """
        filled = value >= 0
        columns = value.clamp_min(0)
        shape = torch.broadcast_shapes(value.shape[:-1], self.logits.shape[:-1])
        logits = self.logits.expand(*shape, self.logits.shape[-1])
        columns = columns.expand(*shape, self.slate_size)
        if self.slate_size == 1:
            # The same as below in one fused pass each way, five times as fast.
            rows = logits.reshape(-1, logits.shape[-1])
            single = -cross_entropy(rows, columns.reshape(-1), reduction="none").view(shape)
            return torch.where(filled.squeeze(-1), single, 0.0)
        chosen = as_float64(logits.gather(-1, columns))
        never = logits.scatter(-1, columns, self._floor).logsumexp(-1, keepdim=True)
        # As doubles: where a slate is all but certain, two near numbers are subtracted.
        steps = ordered_steps(chosen, as_float64(never), filled.to(chosen.device))
        return steps.sum(-1).to(logits)

    def entropy(self) -> Tensor:
        """Entropy in nats of the *first* place, ``(...)``.

        For slates of several it is a part of the whole, cheap and largest where the whole is
        largest, which is all that an entropy bonus needs.
        """
        normaliser = self.logits.logsumexp(-1, keepdim=True)
        log_probabilities = (self.logits - normaliser).clamp_min(self._floor)
        return -(log_probabilities.exp() * log_probabilities).sum(-1)

    def _largest(self, keys: Tensor) -> Tensor:
        single = self.slate_size == 1
        largest = keys.argmax(-1, keepdim=True) if single else keys.topk(self.slate_size).indices
        return self._filled(largest, keys)

    def _filled(self, columns: Tensor, keys: Tensor) -> Tensor:
        return columns.masked_fill(~may_be_shown(keys.gather(-1, columns)), EMPTY)


def _invert(logits: Tensor) -> Tensor:
    """Draw one column a row by inverting the distribution function: one number in place of N.

    Excluded columns add nothing to the sums, which are doubles, so none of them is ever the first
    to exceed the number drawn.
    """
    weights = (logits - logits.amax(-1, keepdim=True)).exp()
    sums = as_float64(weights).cumsum_(-1)
    rows, where = sums.shape[:-1].numel(), sums.device
    point = random_rows(lambda n: torch.rand(n, dtype=torch.float64, device=where), rows)
    return passed(sums, point.view(*sums.shape[:-1], 1)).to(logits.device)
