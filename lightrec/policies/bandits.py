"""Bandits on item vectors: LinUCB and Thompson sampling, on one linear model of the answers."""

from abc import abstractmethod
from typing import Any, Literal, Self

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.errors import RecipeError
from lightrec.keys import PADDING, Key
from lightrec.policies.base import (
    RunParts,
    ScoredPolicy,
    vectors_of,
    with_biases,
    without_nothing,
    without_padding,
)

Learned = Literal["click", "reward"]
ITEMS_AT_ONCE = 4096
"""How many items' widths are computed at once, which bounds memory."""


class LinearBandit(ScoredPolicy):
    """Ridge regression of answers on context ⊗ item, one for all items, learned as slates go by.

    The features of a user and an item are all products of x = (1, history, observation) and
    z = (1, item): history is the mean item vector of the last choices, and observation what a world
    lets policies see. The model is so linear in items, in users, and in each pair of their
    coordinates. That is the shared part of the hybrid model of Li et al. 2010 ("A contextual-bandit
    approach to personalized news article recommendation"), who make its features by the same outer
    product; coefficients of each item's own, their disjoint part, would not be learned for
    thousands of items, and not at all for new ones.

    With the rows φ of all items ever shown in Φ, answers y and P = (1 + C)(1 + D) features, the
    precision is A = ridge · I + ΦᵀΦ and the mean A⁻¹Φᵀy, in float64. Each step adds its rows and
    solves once, which is what adding them one by one comes to. The items of a slate count as so
    many answers that do not depend on each other.

    :param num_items: number of items N.
    :param vector_size: width D of the items' vectors.
    :param observation_size: width of the observation in the context; 0 does without.
    :param history_length: how many of the last choices make up the history; 0 does without.
    :param learned: the answer: ``click`` is 1 for an item taken; ``reward`` is the reward of
        the step for an item taken. All others of a slate have 0.
    :param ridge: precision of every coefficient before anything is learned.
    :param inverse_temperature: factor on scores as logits of a drawn slate; the order does not
        depend on it.
    :raises RecipeError: where a number is out of range.
    """

    history_length: int
    item_vectors: Tensor
    """(N + 1, D) float32; row 0 is zero."""
    precision: Tensor
    """(P, P) float64, A."""
    answers: Tensor
    """(P,) float64, Φᵀy."""
    covariance: Tensor
    """(P, P) float64, A⁻¹."""
    mean: Tensor
    """(P,) float64."""

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        observation_size: int = 0,
        history_length: int = 20,
        learned: Learned = "click",
        ridge: float = 1.0,
        inverse_temperature: float = 20.0,
    ) -> None:
        super().__init__(num_items)
        if ridge <= 0 or inverse_temperature <= 0 or learned not in ("click", "reward"):
            raise RecipeError(
                f"A bandit with ridge={ridge}, inverse_temperature={inverse_temperature} and "
                f"learned={learned!r} is impossible: give positive numbers, and learn from 'click' "
                "or 'reward'."
            )
        self.observation_size, self.history_length = observation_size, history_length
        self.learned, self.inverse_temperature = learned, inverse_temperature
        if observation_size:
            self.reads = (*self.reads, Key.OBSERVATION)
        self.context_size = (vector_size if history_length else 0) + observation_size
        size = (1 + self.context_size) * (1 + vector_size)
        self.register_buffer("item_vectors", torch.zeros(num_items + 1, vector_size))
        unit = torch.eye(size, dtype=torch.float64)
        self.register_buffer("precision", ridge * unit)
        self.register_buffer("answers", torch.zeros_like(unit[0]))
        self.register_buffer("covariance", unit / ridge)
        self.register_buffer("mean", torch.zeros_like(unit[0]))

    @classmethod
    def from_run(cls, run: RunParts, **settings: Any) -> Self:
        """Make the bandit over the ranker's item vectors and biases, with nothing learned."""
        return cls.from_vectors(with_biases(run.ranker).detach(), **settings)

    @classmethod
    def from_vectors(cls, vectors: Tensor, size: int = 20, **settings: Any) -> Self:
        """Make the bandit over items of these vectors, with nothing learned.

        :param vectors: ``(N + 1, E)``; row 0 is padding.
        :param size: at most so many principal components of them are used.
        :param settings: the further constructor arguments.
        """
        reduced = principal(vectors, size)
        bandit = cls(len(vectors) - 1, reduced.shape[1], **settings)
        bandit.item_vectors.copy_(reduced)
        return bandit.to(vectors.device)

    def user_vectors(self, history: Tensor) -> Tensor:
        """Give the contexts ``(B, C)``, zeros where observations will stand."""
        parts = [torch.zeros(len(history), self.observation_size, device=history.device)]
        if self.history_length:
            known = without_nothing(history, self.num_items)[:, -self.history_length :]
            count = (known > PADDING).sum(1, keepdim=True).clamp_min(1)
            parts.insert(0, self.item_vectors[known].sum(1) / count)
        return torch.cat(parts, 1)

    def contexts(self, state: TensorDictBase) -> Tensor:
        """Give the contexts ``(B, C)`` of a state; ``user_vector`` is used where it is there."""
        vectors = vectors_of(self, state)
        if self.observation_size:
            known = vectors[:, : -self.observation_size]
            vectors = torch.cat([known, state[Key.OBSERVATION]], 1)
        return vectors

    @abstractmethod
    def score_items(self, contexts: Tensor, items: Tensor) -> Tensor:
        """Score some items, in the unit of what is learned.

        :param contexts: ``(B, 1 + C)`` float64, x.
        :param items: ``(B or 1, M, 1 + D)`` float64, z.
        :returns: ``(B, M)`` float64.
        """

    def logits(self, state: TensorDictBase) -> Tensor:
        """Score a state's columns by inverse_temperature times :meth:`score_items`.

        Of an offer only the candidates are computed.
        """
        contexts = _with_one(self.contexts(state))
        offered = state.get(Key.CANDIDATES, None)
        if offered is None:
            everything = _with_one(self.item_vectors).unsqueeze(0)
            return without_padding(
                (self.inverse_temperature * self.score_items(contexts, everything)).float()
            )
        scores = self.score_items(contexts, _with_one(self.item_vectors[offered]))
        logits = (self.inverse_temperature * scores).float()
        return logits.masked_fill(offered == PADDING, -torch.inf)

    def features(self, contexts: Tensor, items: Tensor) -> Tensor:
        """Give φ = x ⊗ z: ``(M, P)`` float64.

        :param contexts: ``(M, C)``.
        :param items: ``(M,)`` int64.
        """
        x, z = _with_one(contexts), _with_one(self.item_vectors[items])
        return (x.unsqueeze(2) * z.unsqueeze(1)).flatten(1)

    @torch.no_grad()
    def update(self, features: Tensor, answers: Tensor) -> None:
        """Learn from rows.

        :param features: ``(M, P)`` float64.
        :param answers: ``(M,)``.
        """
        self.precision += features.T @ features
        self.answers += features.T @ answers.double()
        factor = torch.linalg.cholesky(self.precision)
        torch.cholesky_inverse(factor, out=self.covariance)
        self.mean.copy_(torch.cholesky_solve(self.answers.unsqueeze(1), factor).squeeze(1))

    def learn(self, state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        """Learn from a step; give this method to ``play`` as ``record``.

        :param state: with the slate shown under ``action``.
        :param following: what came after it.
        :param alive: ``(B,)`` bool, sessions that were on.
        """
        slate = state[Key.ACTION]
        row, place = ((slate > PADDING) & alive.unsqueeze(1)).nonzero(as_tuple=True)
        if not len(row):
            return
        items = slate[row, place]
        answers = following[Key.TAKEN][row, place].double()
        if self.learned == "reward":
            answers = answers * following["reward"][row, 0]
        self.update(self.features(self.contexts(state)[row], items), answers)


class LinUCB(LinearBandit):
    """Shows the highest upper confidence bounds: mean + α · width of what an item would answer.

    Li et al. 2010, with the shared features of
    :class:`LinearBandit`: the width is √(φᵀA⁻¹φ). With α = 0 it is
    the greedy linear model, which learns from what it happens to show.

    :param num_items: number of items N.
    :param vector_size: width D of the items' vectors.
    :param alpha: α, how much doubt is worth.
    :param observation_size: width of the observation in the context; 0 does without.
    :param history_length: how many of the last choices make up the history; 0 does without.
    :param learned: ``click`` or ``reward``.
    :param ridge: precision of every coefficient before anything is learned.
    :param inverse_temperature: factor on scores as logits of a drawn slate.
    """

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        alpha: float = 1.0,
        observation_size: int = 0,
        history_length: int = 20,
        learned: Learned = "click",
        ridge: float = 1.0,
        inverse_temperature: float = 20.0,
    ) -> None:
        super().__init__(
            num_items,
            vector_size,
            observation_size,
            history_length,
            learned,
            ridge,
            inverse_temperature,
        )
        self.alpha = alpha

    def score_items(self, contexts: Tensor, items: Tensor) -> Tensor:
        """Give the upper confidence bounds ``(B, M)``."""
        taste = contexts @ self.mean.view(contexts.shape[1], -1)
        found = _product(taste, items)
        return found + self.alpha * self.widths(contexts, items) if self.alpha else found

    def widths(self, contexts: Tensor, items: Tensor) -> Tensor:
        """Give √(φᵀA⁻¹φ), ``(B, M)`` float64, without ever forming φ.

        :param contexts: ``(B, 1 + C)`` float64.
        :param items: ``(B or 1, M, 1 + D)`` float64.
        """
        user, item = contexts.shape[1], items.shape[2]
        pairs = (contexts.unsqueeze(2) * contexts.unsqueeze(1)).flatten(1)
        whole = self.covariance.view(user, item, user, item).permute(0, 2, 1, 3)
        # Each user's own quadratic form over items.
        form = pairs @ whole.reshape(user**2, item**2)
        if len(items) == len(contexts):
            own = torch.einsum("bij,bmi,bmj->bm", form.view(-1, item, item), items, items)
        else:
            parts = items[0].split(ITEMS_AT_ONCE)
            squares = ((z.unsqueeze(2) * z.unsqueeze(1)).flatten(1) for z in parts)
            own = torch.cat([form @ square.T for square in squares], 1)
        return own.clamp_min(0).sqrt()


class ThompsonSampling(LinearBandit):
    """Shows what is best if a draw from the posterior were true, drawn anew for each user and step.

    Agrawal and Goyal 2013, "Thompson sampling for contextual bandits with linear payoffs": the
    coefficients are drawn from N(A⁻¹Φᵀy, spread² A⁻¹), see
    :class:`LinearBandit`. The log-probability that is written is
    that given the draw; weighting by it is unbiased, since the draw knows nothing of the answer.

    :param num_items: number of items N.
    :param vector_size: width D of the items' vectors.
    :param spread: standard deviation of an answer about its mean; .5 is the most that a click has.
    :param observation_size: width of the observation in the context; 0 does without.
    :param history_length: how many of the last choices make up the history; 0 does without.
    :param learned: ``click`` or ``reward``.
    :param ridge: precision of every coefficient before anything is learned.
    :param inverse_temperature: factor on scores as logits of a drawn slate.
    """

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        spread: float = 0.5,
        observation_size: int = 0,
        history_length: int = 20,
        learned: Learned = "click",
        ridge: float = 1.0,
        inverse_temperature: float = 20.0,
    ) -> None:
        super().__init__(
            num_items,
            vector_size,
            observation_size,
            history_length,
            learned,
            ridge,
            inverse_temperature,
        )
        self.spread = spread

    def draws(self, count: int) -> Tensor:
        """Draw coefficients ``(count, P)`` float64 from torch's global generator."""
        normal = torch.randn(count, len(self.mean), dtype=self.mean.dtype, device=self.mean.device)
        return self.mean + self.spread * normal @ torch.linalg.cholesky(self.covariance).T

    def score_items(self, contexts: Tensor, items: Tensor) -> Tensor:
        """Give what the items would answer by draws of each user's own ``(B, M)``."""
        drawn = self.draws(len(contexts)).view(len(contexts), contexts.shape[1], -1)
        return _product((contexts.unsqueeze(1) @ drawn).squeeze(1), items)


def _product(tastes: Tensor, items: Tensor) -> Tensor:
    """Multiply tastes ``(B, 1 + D)`` by items ``(B or 1, M, 1 + D)``: ``(B, M)``."""
    if len(items) == len(tastes):
        return (items @ tastes.unsqueeze(2)).squeeze(2)
    return tastes @ items[0].T


def principal(vectors: Tensor, size: int) -> Tensor:
    """Bring item vectors to few coordinates of mean 0 and variance 1, so that ridge is fair to all.

    :param vectors: ``(N + 1, E)``; row 0 is padding.
    :param size: at most so many principal components are kept, those of no variance left out.
    :returns: ``(N + 1, D)`` float32, row 0 zero.
    """
    centred = vectors[1:].double() - vectors[1:].double().mean(0)
    left, spread, _ = torch.linalg.svd(centred, full_matrices=False)
    kept = left[:, (spread > 1e-6 * spread[0]) & (spread > 0)][:, :size] * len(centred) ** 0.5
    return torch.nn.functional.pad(kept.float(), (0, 0, 1, 0))


def _with_one(vectors: Tensor) -> Tensor:
    """Put a one before the coordinates of each vector, float64."""
    return torch.nn.functional.pad(vectors.double(), (1, 0), value=1.0)
