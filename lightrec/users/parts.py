"""What users do beside choosing: they leave, like more or less what they chose, and come back.

Each is a small network over a choice model's state and a few numbers, fitted by maximum likelihood
on rows that ``lightrec.users.parts_fitting`` makes of a log.
"""

import math

import torch
from torch import Tensor, nn

from lightrec.nn.part import Part

NO_TIME = 1.0
"""Seconds: the shortest time until the next session, of which there is a logarithm."""

FARTHEST = 4.0
"""Standard deviations from the mean, beyond which inputs count as this far."""


class UserPart(Part):
    """A small network over a choice state and a few numbers: linear, plus a hidden layer.

    :param state_size: S, of the choice model's states.
    :param numbers: how many numbers stand beside the state.
    :param outputs: how many numbers are foretold.
    :param hidden_size: width of the hidden layer.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, state_size: int, numbers: int, outputs: int, hidden_size: int) -> None:
        super().__init__()
        size = state_size + numbers
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.linear = nn.Linear(size, outputs)
        last = nn.Linear(hidden_size, outputs)
        self.hidden = nn.Sequential(nn.Linear(size, hidden_size), nn.SiLU(), last)
        for layer in (self.linear, last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def network(self, *inputs: Tensor) -> Tensor:
        """Give outputs (B, outputs) of a state (B, S) and numbers (B, ·).

        Simulated sessions go where no logged one was: nothing is extrapolated to there.
        """
        known = (torch.cat([x.float() for x in inputs], 1) - self.mean) / self.scale
        known = known.clamp(-FARTHEST, FARTHEST)
        found: Tensor = self.linear(known) + self.hidden(known)
        return found

    def standardise(self, *inputs: Tensor) -> None:
        """Take the inputs' mean and spread, so that all are of order 1.

        An input that is always the same tells nothing, whatever it is in a simulated session.
        """
        known = torch.cat([x.float() for x in inputs], 1)
        self.mean.copy_(known.mean(0))
        spread = known.std(0, correction=0)
        self.scale.copy_(spread.where(spread > 1e-4, torch.inf))

    def prior(self) -> Tensor:
        """Minus the log-density, up to a constant, of a Gaussian prior on the weights.

        Their variance is one over the inputs of their layer, so that what the network adds is of
        order 1: with few rows it hardly speaks.
        """
        layers = [m for m in (self.linear, *self.hidden) if isinstance(m, nn.Linear)]
        sums = [layer.in_features * layer.weight.square().sum() for layer in layers]
        return torch.stack(sums).sum() / 2


class LeavingModel(UserPart):
    """P(a session ends after this step): a discrete hazard (Singer and Willett 1993).

    Its logit is a level of each step's own, plus a network over the choice state after the step,
    the share of slates accepted so far, and the last answer.

    :param state_size: S.
    :param steps: how many steps have a level of their own; later ones have the last's.
    :param hidden_size: width of the hidden layer.
    """

    def __init__(self, state_size: int, steps: int = 64, hidden_size: int = 32) -> None:
        super().__init__(state_size, 4, 1, hidden_size)
        self.levels = nn.Embedding(steps + 1, 1)
        nn.init.zeros_(self.levels.weight)

    def forward(
        self, state: Tensor, step: Tensor, accepted_total: Tensor, accepted: Tensor
    ) -> Tensor:
        """Logits (B,) of leaving now.

        :param state: (B, S) after the step, its answer included.
        :param step: (B, 1) int64 slates shown so far, this one included.
        :param accepted_total: (B, 1) of them accepted.
        :param accepted: (B, 1) whether this one was.
        """
        level = self.levels(step.squeeze(1).clamp_max(self.levels.num_embeddings - 1))
        known = self.inputs(state, step, accepted_total, accepted)
        return (level + self.network(*known)).squeeze(1)

    @staticmethod
    def inputs(
        state: Tensor, step: Tensor, accepted_total: Tensor, accepted: Tensor
    ) -> tuple[Tensor, ...]:
        """What the network sees, for :meth:`~UserPart.standardise`."""
        share = accepted_total / step
        return state, step.float().log(), share, accepted_total.log1p(), accepted

    def log_likelihood(self, ends: Tensor, *inputs: Tensor) -> Tensor:
        """Log-likelihood (B,) of what was seen.

        :param ends: (B,) bool: whether the session ended after the step. Where it was cut, its last
            step is not among the rows: whether its user would have left is not known.
        :param inputs: of :meth:`forward`.
        """
        logit = self(*inputs)
        return torch.where(ends, logit, -logit).sigmoid().clamp_min(1e-12).log()


class ValueModel(UserPart):
    """How much what was chosen is worth to its user: a rating, seconds of dwell; a normal law.

    Mean and spread follow from the choice state before, the item's features in the choice model,
    and a level that each item has by itself.

    :param state_size: S.
    :param feature_size: F, of the item features.
    :param num_items: N.
    :param hidden_size: width of the hidden layer.
    """

    center: Tensor
    spread: Tensor

    def __init__(
        self, state_size: int, feature_size: int, num_items: int, hidden_size: int = 32
    ) -> None:
        super().__init__(state_size, feature_size, 2, hidden_size)
        self.levels = nn.Embedding(num_items + 1, 1)
        nn.init.zeros_(self.levels.weight)
        # Values are centred and brought to unit spread: both are learned from the log.
        self.register_buffer("center", torch.tensor(0.0))
        self.register_buffer("spread", torch.tensor(1.0))

    def forward(self, state: Tensor, features: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (B,) in the log's own units.

        :param state: (B, S) before the choice.
        :param features: (B, F) of the items chosen.
        :param items: (B,) int64.
        """
        found = self.network(state, features)
        mean = found[:, 0] + self.levels(items).squeeze(1)
        deviation = found[:, 1].clamp(-5, 5).exp()
        return self.center + self.spread * mean, self.spread * deviation

    def prior(self) -> Tensor:
        """That of the network, and a unit variance of the items' levels."""
        return super().prior() + self.levels.weight.square().sum() / 2

    def log_likelihood(self, values: Tensor, *inputs: Tensor) -> Tensor:
        """Log-density (B,) of values (B,), in nats."""
        mean, deviation = self(*inputs)
        return _log_normal(values, mean, deviation)


class ReturnModel(UserPart):
    """Time until the user's next session: log-normal, those not seen again being censored.

    :param state_size: S.
    :param hidden_size: width of the hidden layer.
    :param longest: seconds that the log spans: it tells of no longer time; None knows no bound.
    """

    def __init__(
        self, state_size: int, hidden_size: int = 16, longest: float | None = None
    ) -> None:
        super().__init__(state_size, 2, 2, hidden_size)
        self.log_longest = math.inf if longest is None else math.log(longest)

    def forward(self, state: Tensor, step: Tensor, accepted_total: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (B,) of the logarithm of the seconds.

        :param state: (B, S) at the session's end.
        :param step: (B, 1) int64 slates shown in the session.
        :param accepted_total: (B, 1) of them accepted.
        """
        found = self.network(*self.inputs(state, step, accepted_total))
        return found[:, 0], found[:, 1].clamp(-4, 4).exp()

    def restricted(
        self, state: Tensor, step: Tensor, accepted_total: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Say of the next session what the log can tell: a restricted mean (Irwin 1949).

        :returns: mean (B,) of the logarithm of the seconds, none of which count beyond what the
            log spans, and the probability (B,) that they are more.
        """
        mean, deviation = self(state, step, accepted_total)
        if math.isinf(self.log_longest):
            return mean, torch.zeros_like(mean)
        standard = (self.log_longest - mean) / deviation
        below = torch.special.ndtr(standard)
        density = torch.exp(-standard.square() / 2) / math.sqrt(2 * math.pi)
        return self.log_longest - deviation * (standard * below + density), 1 - below

    @staticmethod
    def inputs(state: Tensor, step: Tensor, accepted_total: Tensor) -> tuple[Tensor, ...]:
        """What the network sees, for :meth:`~UserPart.standardise`."""
        return state, step.float().log(), accepted_total / step

    def log_likelihood(self, seconds: Tensor, seen: Tensor, *inputs: Tensor) -> Tensor:
        """Log-likelihood (B,) of times until the next session.

        :param seconds: (B,), or how long nothing was seen of the user.
        :param seen: (B,) bool: whether the user came back within the log.
        """
        mean, deviation = self(*inputs)
        logs = seconds.clamp_min(NO_TIME).log()
        later = torch.special.log_ndtr((mean - logs) / deviation)
        return torch.where(seen, _log_normal(logs, mean, deviation), later)


def _log_normal(values: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    standard = (values - mean) / deviation
    return -standard.square() / 2 - deviation.log() - math.log(2 * math.pi) / 2
