"""Bandits on item vectors: LinUCB and Thompson sampling, on one linear model of the answers."""

from abc import abstractmethod
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.api import PolicyMaker
from lightrec.errors import RecipeError
from lightrec.evaluation.named_policies import EPSILON
from lightrec.keys import PADDING, Key
from lightrec.nn.session import State
from lightrec.policies.base import (
    Policy,
    RunParts,
    ScoredPolicy,
    vectors_of,
    with_biases,
    without_nothing,
    without_padding,
)
from lightrec.policies.epsilon_greedy import EpsilonGreedy
from lightrec.run import Run
from lightrec.simulators.base import Simulator
from lightrec.simulators.rollout import play

Learned = Literal["click", "reward"]
ITEMS_AT_ONCE = 4096
"""Number of items whose widths are computed at once, which bounds memory."""
ROUNDS = 10
"""Rounds of sessions in which a bandit learns, one session of every user each."""
SEED = 800_000_009
"""Seed of the first of these rounds: sessions that no policy is judged by."""


class LinearBandit(ScoredPolicy):
    """One ridge regression for all items, of answers on context ⊗ item, updated at each step.

    The features φ of a user and an item are all products of x = (1, history, observation) and
    z = (1, item): the history is the mean item vector of the last choices, the observation what a
    world lets policies see. This is the shared part of the hybrid model of Li et al. 2010 ("A
    contextual-bandit approach to personalized news article recommendation"), with the same outer
    product. Its disjoint part, coefficients for each item, cannot be learned for thousands of items
    or for new ones.

    With the rows φ of all items ever shown in Φ, answers y and P = (1 + C)(1 + D) features, the
    precision is A = ridge · I + ΦᵀΦ and the mean A⁻¹Φᵀy, in float64. The items of a slate count as
    independent answers.

    :param num_items: number of items N.
    :param vector_size: width D of the items' vectors.
    :param observation_size: width of the observation in the context; 0 does without.
    :param history_length: how many of the last choices make up the history; 0 does without.
    :param learned: the answer: ``click`` is 1 for an item taken; ``reward`` is the reward of
        the step for an item taken. The slate's other items have 0.
    :param ridge: precision of every coefficient before anything is learned.
    :param inverse_temperature: factor on scores as logits of a drawn slate.
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
        """Make an untrained bandit over the ranker's item vectors and biases."""
        return cls.from_vectors(with_biases(run.ranker).detach(), **settings)

    @classmethod
    def from_vectors(cls, vectors: Tensor, size: int = 20, **settings: Any) -> Self:
        """Make an untrained bandit over items of these vectors.

        :param vectors: ``(N + 1, E)``; row 0 is padding.
        :param size: at most so many principal components of them are used.
        """
        reduced = principal(vectors, size)
        bandit = cls(len(vectors) - 1, reduced.shape[1], **settings)
        bandit.item_vectors.copy_(reduced)
        return bandit.to(vectors.device)

    def user_vectors(self, history: Tensor) -> Tensor:
        """The contexts ``(B, C)``, zeros in place of the observations."""
        if not self.history_length:
            return torch.zeros(len(history), self.observation_size, device=history.device)
        recent = without_nothing(history, self.num_items)[:, -self.history_length :]
        count = (recent > PADDING).sum(1, keepdim=True).clamp_min(1)
        return pad(self.item_vectors[recent].sum(1) / count, (0, self.observation_size))

    def contexts(self, state: State) -> Tensor:
        """The contexts ``(B, C)`` of a state."""
        vectors = vectors_of(self, state)
        if self.observation_size:
            histories = vectors[:, : -self.observation_size]
            vectors = torch.cat([histories, state[Key.OBSERVATION]], 1)
        return vectors

    @abstractmethod
    def score_items(self, contexts: Tensor, items: Tensor) -> Tensor:
        """Score items in the unit of what is learned.

        :param contexts: ``(B, 1 + C)`` float64, x.
        :param items: ``(B or 1, M, 1 + D)`` float64, z.
        :returns: ``(B, M)`` float64.
        """

    def logits(self, state: State) -> Tensor:
        """Score a state's columns by inverse_temperature times :meth:`score_items`."""
        offered = state.get(Key.CANDIDATES, None)
        items = self.item_vectors[None] if offered is None else self.item_vectors[offered]
        scores = self.score_items(_with_one(self.contexts(state)), _with_one(items))
        logits = (self.inverse_temperature * scores).float()
        if offered is None:
            return without_padding(logits)
        return logits.masked_fill(offered == PADDING, -torch.inf)

    def features(self, contexts: Tensor, items: Tensor) -> Tensor:
        """φ = x ⊗ z: ``(M, P)`` float64, for contexts ``(M, C)`` and items ``(M,)``."""
        x, z = _with_one(contexts), _with_one(self.item_vectors[items])
        return (x.unsqueeze(2) * z.unsqueeze(1)).flatten(1)

    @torch.no_grad()
    def update(self, features: Tensor, answers: Tensor) -> None:
        """Learn from features ``(M, P)`` float64 and answers ``(M,)``."""
        self.precision += features.T @ features
        self.answers += features.T @ answers.double()
        factor = torch.linalg.cholesky(self.precision)
        torch.cholesky_inverse(factor, out=self.covariance)
        self.mean.copy_(torch.cholesky_solve(self.answers.unsqueeze(1), factor).squeeze(1))

    def learn(self, state: State, following: State, alive: Tensor) -> None:
        """Learn from a step; give this method to ``play`` as ``record``.

        :param state: with the slate shown under ``action``.
        :param following: the state after it.
        :param alive: ``(B,)`` bool: sessions that had not ended.
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
    """Shows the items of highest upper confidence bound: expected answer + α · √(φᵀA⁻¹φ).

    Li et al. 2010. With α = 0 it is the greedy linear model.

    :param num_items: number of items N.
    :param vector_size: width D of the items' vectors.
    :param alpha: α, how much uncertainty is worth.
    :param settings: of :class:`LinearBandit`.
    """

    def __init__(
        self, num_items: int, vector_size: int, alpha: float = 1.0, **settings: Any
    ) -> None:
        super().__init__(num_items, vector_size, **settings)
        self.alpha = alpha

    def score_items(self, contexts: Tensor, items: Tensor) -> Tensor:
        """The upper confidence bounds ``(B, M)``."""
        taste = contexts @ self.mean.view(contexts.shape[1], -1)
        expected = torch.einsum("bd,bmd->bm", taste, items)
        return expected + self.alpha * self.widths(contexts, items) if self.alpha else expected

    def widths(self, contexts: Tensor, items: Tensor) -> Tensor:
        """√(φᵀA⁻¹φ), ``(B, M)`` float64, without forming φ; as :meth:`score_items`."""
        user, item = contexts.shape[1], items.shape[2]
        pairs = (contexts.unsqueeze(2) * contexts.unsqueeze(1)).flatten(1)
        whole = self.covariance.view(user, item, user, item).permute(0, 2, 1, 3)
        # Each user's own quadratic form over items.
        form = pairs @ whole.reshape(user**2, item**2)
        if len(items) == len(contexts):
            squared = torch.einsum("bij,bmi,bmj->bm", form.view(-1, item, item), items, items)
        else:
            parts = items[0].split(ITEMS_AT_ONCE)
            squares = ((z.unsqueeze(2) * z.unsqueeze(1)).flatten(1) for z in parts)
            squared = torch.cat([form @ square.T for square in squares], 1)
        return squared.clamp_min(0).sqrt()


class ThompsonSampling(LinearBandit):
    """Shows the best items under coefficients drawn anew for each user and step.

    The posterior is N(A⁻¹Φᵀy, spread² A⁻¹) (Agrawal and Goyal 2013, "Thompson sampling for
    contextual bandits with linear payoffs"). The log-probability that is written is conditional on
    the draw; weighting by it is unbiased, since the draw does not depend on the answer.

    :param num_items: number of items N.
    :param vector_size: width D of the items' vectors.
    :param spread: standard deviation of an answer about its mean; .5 is the most that a click has.
    :param settings: of :class:`LinearBandit`.
    """

    def __init__(
        self, num_items: int, vector_size: int, spread: float = 0.5, **settings: Any
    ) -> None:
        super().__init__(num_items, vector_size, **settings)
        self.spread = spread

    def draws(self, count: int) -> Tensor:
        """Draw coefficients ``(count, P)`` float64 from torch's global generator."""
        normal = torch.randn(count, len(self.mean), dtype=self.mean.dtype, device=self.mean.device)
        return self.mean + self.spread * normal @ torch.linalg.cholesky(self.covariance).T

    def score_items(self, contexts: Tensor, items: Tensor) -> Tensor:
        """The expected answers ``(B, M)`` under each user's own draw."""
        drawn = self.draws(len(contexts)).view(len(contexts), contexts.shape[1], -1)
        taste = (contexts.unsqueeze(1) @ drawn).squeeze(1)
        return torch.einsum("bd,bmd->bm", taste, items)


class TaughtLinUCB(PolicyMaker):
    """``linucb``: learns from what it shows in ten rounds of sessions."""

    kind: ClassVar[type[LinearBandit]] = LinUCB
    settings: ClassVar[dict[str, Any]] = {}
    explores: ClassVar[bool] = False
    """Whether one slate in ten is shown at random, then and later."""

    def policy(self, simulator: Simulator, users: Tensor, run: Run | None = None) -> Policy:
        """Make the bandit, of a world's item vectors or a run's ranker, and let it learn."""
        world: Any = simulator
        if run is not None:
            bandit = self.kind.from_run(run, **self.settings)
        else:
            bandit = self.kind.from_vectors(
                world.item_vectors,
                # Where there is an observation, it holds what may be known of users.
                observation_size=world.observation_size,
                history_length=0 if world.observation_size else world.history_length,
                **self.settings,
            )
        explorer = EpsilonGreedy(bandit, EPSILON, always_drawn=True)
        shown: Policy = explorer if self.explores else bandit
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            for seed in range(SEED, SEED + ROUNDS):
                best = not self.explores
                play(shown, simulator, users, seed, deterministic=best, record=bandit.learn)
        return shown


class TaughtThompson(TaughtLinUCB):
    """``thompson``: as ``linucb``."""

    kind = ThompsonSampling


class TaughtEpsilonGreedy(TaughtLinUCB):
    """``epsilon-greedy`` in worlds: a linear model, with one slate in ten at random."""

    settings: ClassVar = {"alpha": 0.0}
    explores = True


def principal(vectors: Tensor, size: int) -> Tensor:
    """Principal components of item vectors, of mean 0 and variance 1.

    :param vectors: ``(N + 1, E)``; row 0 is padding.
    :param size: how many at most; those without variance are left out.
    :returns: ``(N + 1, D)`` float32, row 0 zero.
    """
    centred = vectors[1:].double() - vectors[1:].double().mean(0)
    left, spread, _ = torch.linalg.svd(centred, full_matrices=False)
    kept = left[:, (spread > 1e-6 * spread[0]) & (spread > 0)][:, :size] * len(centred) ** 0.5
    return pad(kept.float(), (0, 0, 1, 0))


def _with_one(vectors: Tensor) -> Tensor:
    """Put a one before the coordinates of each vector, float64."""
    return pad(vectors.double(), (1, 0), value=1.0)
