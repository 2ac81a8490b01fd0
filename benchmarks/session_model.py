"""How users answer slate after slate: what they take, its worth, whether they go on, and return.

A :class:`~lightrec.users.user_model.UserModel` reads histories of items. This model reads all that
went before: what was taken, what it was worth, and how long users stayed away in between.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, pad

from lightrec.nn.part import Part
from lightrec.users.choice_model import with_nothing
from lightrec.users.parts import LeavingModel, UserPart, normal_log_density

ANSWER = 3
"""Numbers of an answer beside the item's vector: taken or not, its worth, the absence after it."""


class SlateModel(UserPart):
    """P(i | state, slate) ∝ exp(utility of i), nothing having utility 0.

    A utility is linear in the item's vector, with weights that follow from the state.

    :param vector_size: length D of the item vectors.
    """

    def __init__(self, state_size: int, vector_size: int, hidden_size: int = 32) -> None:
        super().__init__(state_size, 0, vector_size + 1, hidden_size)

    def forward(self, state: Tensor, vectors: Tensor, there: Tensor) -> Tensor:
        """Log-probabilities (B, K + 1) of a slate's items, nothing being last.

        :param state: (B, S).
        :param vectors: (B, K, D) of the slate's items.
        :param there: (B, K) bool: which places are not empty.
        """
        utilities = linear_in(self.network(state), vectors)
        return with_nothing(utilities.masked_fill(~there, -torch.inf)).log_softmax(1)

    def _inputs(self, *row: Tensor) -> Tensor:
        return row[0]

    def log_likelihood(self, *row: Tensor) -> Tensor:
        """Log-likelihood (B,) of the places (B,) int64 that were taken, K for none."""
        place, *known = row
        return self(*known).gather(1, place.unsqueeze(1)).squeeze(1)


class TakenValue(UserPart):
    """The worth of an item that is taken: log-normal, as seconds and amounts are.

    The mean of its logarithm is linear in the item's vector, with weights that follow from the
    state.

    :param vector_size: length D of the item vectors.
    """

    def __init__(self, state_size: int, vector_size: int, hidden_size: int = 32) -> None:
        super().__init__(state_size, 0, vector_size + 2, hidden_size)

    def forward(self, state: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (B, K) of the logarithms of items' worths.

        :param state: (B, S).
        :param vectors: (B, K, D).
        """
        found = self.network(state)
        mean = linear_in(found[:, :-1], vectors)
        return mean, found[:, -1:].clamp(-4, 4).exp().expand_as(mean)

    def _inputs(self, *row: Tensor) -> Tensor:
        return row[0]

    def log_likelihood(self, *row: Tensor) -> Tensor:
        """Log-density (B,) of the logarithms of values (B,), of items with vectors (B, 1, D)."""
        values, *known = row
        mean, deviation = self(*known)
        return normal_log_density(values.log(), mean.squeeze(1), deviation.squeeze(1))


class ReturnHazard(UserPart):
    """P(a user comes back in a period of absence, not having come back before).

    A discrete hazard, as :class:`~lightrec.users.parts.LeavingModel` has for steps: its logit is a
    level of each period's own, plus what the state says of all periods, plus what it says of late
    ones against early ones. No form of the law is assumed, and some users may never come back.

    :param periods: number T of periods, such as days; what comes later is not told apart.
    """

    late: Tensor
    """(T,) float32: logarithms of the periods, centred and of unit spread."""

    def __init__(self, state_size: int, periods: int, hidden_size: int = 32) -> None:
        super().__init__(state_size, 0, 2, hidden_size)
        self.levels = nn.Parameter(torch.zeros(periods))
        late = torch.arange(1, periods + 1).float().log()
        late = (late - late.mean()) / late.std(correction=0).clamp_min(1e-6)
        self.register_buffer("late", late)

    def forward(self, state: Tensor) -> Tensor:
        """Log-probabilities (B, T + 1) of the period of return, later or never being last.

        :param state: (B, S) at the session's end.
        """
        soon, late = self.network(state).split(1, 1)
        logit = self.levels + soon + self.late * late
        away = logsigmoid(-logit).cumsum(1)
        return torch.cat([logsigmoid(logit) + pad(away[:, :-1], (1, 0)), away[:, -1:]], 1)

    def log_likelihood(self, *row: Tensor) -> Tensor:
        """Log-likelihood (B,) of the periods (B,) int64, from 1, in which users came back.

        Where the second argument (B,) bool is False, they had not come back in so many periods, of
        which the last is over; 0 says nothing.
        """
        period, seen, *known = row
        law = self(*known)
        back = law.gather(1, (period - 1).clamp_min(0).unsqueeze(1)).squeeze(1)
        later = torch.arange(law.shape[1], device=law.device) >= period.unsqueeze(1)
        away = law.masked_fill(~later, -torch.inf).logsumexp(1)
        return torch.where(seen, back, away)


class SessionModel(Part):
    """What users do in sessions and between them, by a few sums that fade.

    An answer is the vector of the item taken, whether one was, the logarithm of 1 + its worth, and
    of 1 + the periods of absence that followed. Traces are means of all earlier answers, in which
    one of h steps ago counts half, for h = 1, 2, 4, ...: so they hold what builds up over a session
    as well as what happened last. What users do depends on traces and context, which is what else
    is known of them: attributes, the time, what a platform counts.

    :param num_items: number of items N.
    :param vector_size: length D of the item vectors, see :meth:`set_items`.
    :param context_size: length G of contexts.
    :param traces: number P of half-lives.
    :param steps: steps of a session that have a level of leaving of their own.
    :param periods: of absence, see :class:`ReturnHazard`; 0 where sessions end for good.
    :param valued: whether what is taken has a worth of its own, above 0.
    :param hidden_size: width of the hidden layers.
    """

    vectors: Tensor
    """(N + 1, D) float32."""
    fading: Tensor
    """(P, 1) float32: what is left of each trace after a step."""

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        context_size: int = 0,
        traces: int = 7,
        steps: int = 64,
        periods: int = 0,
        valued: bool = False,
        hidden_size: int = 32,
    ) -> None:
        super().__init__()
        self.num_items, self.context_size, self.periods = num_items, context_size, periods
        self.register_buffer("vectors", torch.zeros(num_items + 1, vector_size))
        half_lives = 2.0 ** torch.arange(traces)
        self.register_buffer("fading", (0.5 ** (1 / half_lives)).unsqueeze(1))
        self.trace_size = traces * (vector_size + ANSWER)
        size = context_size + self.trace_size
        self.choosing = SlateModel(size, vector_size, hidden_size)
        self.leaving = LeavingModel(size, steps, hidden_size)
        self.valuing = TakenValue(size, vector_size, hidden_size) if valued else None
        self.returning = ReturnHazard(size, periods, hidden_size) if periods else None

    def set_items(self, vectors: Tensor) -> "SessionModel":
        """Take the item vectors (N + 1, D); row 0 is zero."""
        self.vectors.copy_(vectors)
        return self

    def follow(self, traces: Tensor, item: Tensor, value: Tensor, absence: Tensor) -> Tensor:
        """Give the traces (B, P · (D + 3)) after an answer.

        :param traces: (B, P · (D + 3)) before; zeros where nothing is known.
        :param item: (B,) int64 that was taken, 0 for none.
        :param value: (B,) its worth, 0 for none.
        :param absence: (B,) periods that the user then stayed away, 0 where the session goes on.
        """
        numbers = torch.stack([item > 0, value.log1p(), absence.log1p()], 1)
        answer = torch.cat([self.vectors[item], numbers.to(self.vectors)], 1).unsqueeze(1)
        earlier = traces.view(len(traces), len(self.fading), answer.shape[2])
        return torch.lerp(answer, earlier, self.fading).flatten(1)


def linear_in(weights: Tensor, vectors: Tensor) -> Tensor:
    """Give weights (B, D + 1), of which the last is a constant, times vectors (B, K, D): (B, K)."""
    return (vectors @ weights[:, :-1].unsqueeze(2)).squeeze(2) + weights[:, -1:]
