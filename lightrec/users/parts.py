"""Models of what users do besides choosing: they leave, value what they chose, and return."""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from lightrec.nn.part import Part

NO_TIME = 1.0
"""Seconds: the shortest time until the next session, so that it has a logarithm."""
FARTHEST = 4.0
"""Standard deviations from the mean at which inputs are clamped."""


class UserPart(Part):
    """A network over a choice state (B, S) and further numbers: linear, plus a hidden layer.

    ``lightrec.users.parts_fitting`` fits it by maximum likelihood to rows that it makes of a log.
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

    def _inputs(self, *row: Tensor) -> Tensor:
        # A state (B, S) and numbers (B, ·), of the arguments of ``forward``.
        return torch.cat(row[:2], 1)

    @abstractmethod
    def log_likelihood(self, *row: Tensor) -> Tensor:
        """Log-likelihood (B,) of outcomes, which come first, given arguments of ``forward``."""

    def network(self, *row: Tensor) -> Tensor:
        """Outputs (B, outputs) given arguments of ``forward``, clamped to the logged range."""
        inputs = (self._inputs(*row) - self.mean) / self.scale
        inputs = inputs.clamp(-FARTHEST, FARTHEST)  # simulated sessions go beyond
        outputs: Tensor = self.linear(inputs) + self.hidden(inputs)
        return outputs

    def standardise(self, *row: Tensor) -> None:
        """Take the inputs' mean and spread; one that is constant in the log has no effect."""
        inputs = self._inputs(*row)
        self.mean.copy_(inputs.mean(0))
        spread = inputs.std(0, correction=0)
        self.scale.copy_(spread.where(spread > 1e-4, torch.inf))

    def prior(self) -> Tensor:
        """Minus the log-density, up to a constant, of a Gaussian prior on the weights.

        Their variance is one over the inputs of their layer: outputs are of order 1.
        """
        layers = [m for m in (self.linear, *self.hidden) if isinstance(m, nn.Linear)]
        sums = [layer.in_features * layer.weight.square().sum() for layer in layers]
        return torch.stack(sums).sum() / 2


class LeavingModel(UserPart):
    """P(a session ends after this step): a discrete hazard (Singer and Willett 1993).

    Its logit is a level of each step's own, plus a network over the choice state after the step,
    the share of slates accepted so far, and the last answer.

    :param steps: number of steps with a level of their own; later ones have the last's.
    """

    def __init__(self, state_size: int, steps: int = 64, hidden_size: int = 32) -> None:
        super().__init__(state_size, 4, 1, hidden_size)
        self.levels = nn.Embedding(steps + 1, 1)
        nn.init.zeros_(self.levels.weight)

    def forward(
        self, state: Tensor, step: Tensor, accepted_total: Tensor, accepted: Tensor
    ) -> Tensor:
        """Logits (B,) of leaving after a step.

        :param state: (B, S) after it; for the others see
            :meth:`~lightrec.users.user_model.UserModel.leave`.
        """
        level = self.levels(step.squeeze(1).clamp_max(self.levels.num_embeddings - 1))
        return (level + self.network(state, step, accepted_total, accepted)).squeeze(1)

    def _inputs(self, *row: Tensor) -> Tensor:
        state, step, total, accepted = row
        return torch.cat([state, step.float().log(), total / step, total.log1p(), accepted], 1)

    def log_likelihood(self, *row: Tensor) -> Tensor:
        """Log-likelihood (B,) of whether sessions end, (B,) bool, after a step."""
        ends, *inputs = row
        logit = self(*inputs)
        return torch.where(ends, logit, -logit).sigmoid().clamp_min(1e-12).log()


class ValueModel(UserPart):
    """The worth of a choice to its user: a rating, seconds of dwell; a normal law.

    It reads the choice state (B, S) before, the item's features (B, F) in the choice model, and the
    item.
    """

    center: Tensor
    spread: Tensor

    def __init__(
        self, state_size: int, feature_size: int, num_items: int, hidden_size: int = 32
    ) -> None:
        super().__init__(state_size, feature_size, 2, hidden_size)
        self.levels = nn.Embedding(num_items + 1, 1)
        nn.init.zeros_(self.levels.weight)
        # Of the log's values, which are centred and brought to unit spread.
        self.register_buffer("center", torch.tensor(0.0))
        self.register_buffer("spread", torch.tensor(1.0))

    def forward(self, state: Tensor, features: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (B,) of the worth of items (B,), in the log's own units."""
        outputs = self.network(state, features, items)
        mean = outputs[:, 0] + self.levels(items).squeeze(1)
        deviation = outputs[:, 1].clamp(-5, 5).exp()
        return self.center + self.spread * mean, self.spread * deviation

    def prior(self) -> Tensor:
        """That of the network, and a unit variance of the items' levels."""
        return super().prior() + self.levels.weight.square().sum() / 2

    def log_likelihood(self, *row: Tensor) -> Tensor:
        """Log-density (B,) of values (B,), in nats."""
        values, *inputs = row
        mean, deviation = self(*inputs)
        return Normal(mean, deviation, validate_args=False).log_prob(values)


class ReturnModel(UserPart):
    """Time until the user's next session: log-normal, censored for users not seen again.

    :param longest: seconds that the log spans, beyond which it has no times; None for no bound.
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
        :param accepted_total: (B, 1) items accepted in it.
        """
        outputs = self.network(state, step, accepted_total)
        return outputs[:, 0], outputs[:, 1].clamp(-4, 4).exp()

    def restricted(
        self, state: Tensor, step: Tensor, accepted_total: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Restricted mean of the time until the next session (Irwin 1949).

        :returns: mean (B,) of the logarithm of the seconds, none of which count beyond the log's
            span, and the probability (B,) that they are more.
        """
        mean, deviation = self(state, step, accepted_total)
        if math.isinf(self.log_longest):
            return mean, torch.zeros_like(mean)
        standard = (self.log_longest - mean) / deviation
        below = torch.special.ndtr(standard)
        density = torch.exp(-standard.square() / 2) / math.sqrt(2 * math.pi)
        return self.log_longest - deviation * (standard * below + density), 1 - below

    def _inputs(self, *row: Tensor) -> Tensor:
        state, step, accepted_total = row
        return torch.cat([state, step.float().log(), accepted_total / step], 1)

    def log_likelihood(self, *row: Tensor) -> Tensor:
        """Log-likelihood (B,) of the seconds (B,) until the next session, or, where (B,) bool is
        False, until the log ended without one.
        """
        seconds, seen, *inputs = row
        mean, deviation = self(*inputs)
        logs = seconds.clamp_min(NO_TIME).log()
        later = torch.special.log_ndtr((mean - logs) / deviation)
        at = Normal(mean, deviation, validate_args=False).log_prob(logs)
        return torch.where(seen, at, later)
