"""The policy of two towers: what is seen of a session against what is seen of items."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn
from torch.nn.functional import embedding, pad

from lightrec.keys import Key
from lightrec.nn.left_out import fit_left_out
from lightrec.nn.session import SessionFeatures
from lightrec.policies.base import LearnedPolicy, RunParts, TwoTowerPolicy, vectors_of
from lightrec.trust import ARGUMENTS

SILENT = 1e-6
"""A column of vectors whose standard deviation is below this says nothing."""


class TowerPolicy(TwoTowerPolicy, LearnedPolicy):
    """Scores items by query · (item vector, learned item vector), a query for each session.

    The query is made from the session's features by a small network whose last layer begins at
    zero, so that all items score the same at first. The item vectors as they are stand in the score
    beside what a second network makes of them: the first learn fast, the second learns what is not
    linear in them. Nothing is learned for single items: one that was never shown in training is
    scored from its vector, and :meth:`with_items` adds it to a policy that has been trained.

    :param num_items: number of items N.
    :param vector_size: length D of the item vectors, which :meth:`set_items` fills in.
    :param meaning_size: length of what stands in the place of the item vectors where they are long
        and say little in many columns, as those of texts do; 0 takes them as they are. See
        :meth:`set_items`.
    :param observation_size: length of the observations that a simulator gives; 0 for none.
    :param history_length: how many of a history's last steps are read.
    :param pools: number P of sums over these steps, with weights that fade by half within from one
        step to the whole history; 0 reads no history.
    :param size: width of the learned item vectors; 0 for none.
    :param hidden: widths of the query's hidden layers.
    :param item_hidden: width of the hidden layer of the learned item vectors.
    :param horizon: steps after which the step counts as 1.
    """

    history_length: int
    vectors: Tensor
    """(N + 2, W + 1) float32: centred and scaled vectors, W being their length D or that of
    their meanings; zeros for padding, and for choosing nothing a one in the last column."""
    centre: Tensor
    """(D,) float32: means of the vectors' columns."""
    scale: Tensor
    """(W,) float32: standard deviations; infinite where a column says nothing."""
    meaning: Tensor
    """(D, W) float32: the map from vectors to meanings; (D, 0) without."""
    weights: Tensor
    """(P, L) float32: of a history's steps in the sums."""

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        observation_size: int = 0,
        history_length: int = 20,
        pools: int = 0,
        size: int = 16,
        hidden: Sequence[int] = (128,),
        item_hidden: int = 64,
        horizon: int = 40,
        meaning_size: int = 0,
    ) -> None:
        super().__init__(num_items)
        self.vector_size = vector_size
        width = meaning_size or vector_size
        self.history_length, self.horizon = history_length, horizon
        self.seen = SessionFeatures(0, horizon, pools * (width + 1) + observation_size)
        self.feature_size = self.seen.size
        self.observation_size = observation_size
        if observation_size:
            self.reads = (*self.reads, Key.OBSERVATION)
        self.register_buffer("vectors", torch.zeros(num_items + 2, width + 1))
        self.register_buffer("centre", torch.zeros(vector_size))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("meaning", torch.zeros(vector_size, meaning_size))
        age = torch.arange(history_length - 1, -1, -1)
        half_lives = torch.logspace(0, torch.log2(torch.tensor(history_length)), pools, base=2)
        weights = 0.5 ** (age / half_lives.unsqueeze(1))
        self.register_buffer("weights", weights / weights.sum(1, keepdim=True).sqrt())
        sizes = [self.feature_size, *hidden]
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(sizes):
            layers += [nn.Linear(narrow, wide), nn.GELU()]
        last = nn.Linear(sizes[-1], width + size)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.query_network = nn.Sequential(*layers, last)
        self.items: nn.Module | None = None
        if size:
            self.items = nn.Sequential(
                nn.Linear(width, item_hidden), nn.GELU(), nn.Linear(item_hidden, size)
            )

    @classmethod
    def from_run(cls, run: RunParts, **settings: Any) -> Self:
        """Make an untrained policy that sees items as the run's ranker does."""
        with torch.no_grad():
            vectors = run.ranker.item_vectors()
        policy = cls(len(vectors) - 1, vectors.shape[1], **settings).to(vectors.device)
        policy.set_items(vectors)
        return policy

    def set_items(self, vectors: Tensor, meanings: Tensor | None = None) -> "TowerPolicy":
        """Fill the item table; every column has mean 0 and variance 1 then.

        With meanings, what stands there is how far an item's vector foretells them, by a ridge
        regression over the other items: an item is seen as one that is new would be. What only its
        own vector could tell of it, such as the wording of its text, cannot be learned by heart.

        :param vectors: (N + 1, D) float32; row 0 is ignored.
        :param meanings: (N + 1, W) float32 of the same items; row 0 is ignored. W is
            ``meaning_size``.
        """
        items = vectors[1:].to(self.vectors)
        self.centre.copy_(items.mean(0))
        if meanings is None:
            known = items - self.centre
        else:
            fit = fit_left_out(items, meanings[1:].to(items))
            self.meaning.copy_(fit.weights)
            known = fit.predicted - fit.predicted.mean(0)
        spread = known.std(0, correction=0)
        # Division by infinity: a column that was constant must not set later items apart.
        self.scale.copy_(spread.masked_fill(spread < SILENT, torch.inf))
        self.vectors.zero_()
        self.vectors[1:-1, :-1] = known / self.scale
        self.vectors[-1, -1] = 1
        return self

    def with_items(self, vectors: Tensor) -> "TowerPolicy":
        """Give a policy that also shows items that came after training, as N + 1 to N + M.

        They are scored from their vectors by what was learned on the others; the scores of items 1
        to N stay what they are. "Chose nothing" becomes N + M + 1.

        :param vectors: (M, D) float32, made as those given to :meth:`set_items` were: by the same
            text encoder, say.
        :raises ValueError: where they have another length.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.vector_size:
            raise ValueError(
                f"The new items' vectors have the shape {tuple(vectors.shape)}; the policy was "
                f"trained on vectors of length {self.vector_size}. Give one such row an item."
            )
        total = self.num_items + len(vectors)
        with torch.random.fork_rng():  # what weights begin as is of no account here
            grown = type(self)(**(self.description[ARGUMENTS] | {"num_items": total}))
        columns = pad(self._columns(vectors.to(self.vectors)), (0, 1))
        state = self.state_dict()
        state["vectors"] = torch.cat([self.vectors[:-1], columns, self.vectors[-1:]])
        grown.to(self.vectors.device).load_state_dict(state)
        return grown.train(self.training)

    def _columns(self, vectors: Tensor) -> Tensor:
        """Turn vectors (R, D) into what stands in the item table, (R, W)."""
        centred = vectors - self.centre
        return (centred @ self.meaning if self.meaning.shape[1] else centred) / self.scale

    def user_vectors(self, history: Tensor) -> Tensor:
        """Give the sums over histories, ``(B, P · (W + 1))``."""
        pools = len(self.weights)
        if not pools:
            return torch.zeros(len(history), 0, device=history.device)
        recent = history[:, -self.history_length :]
        recent = pad(recent, (self.history_length - recent.shape[1], 0))
        return torch.einsum("pl,bla->bpa", self.weights, embedding(recent, self.vectors)).flatten(1)

    def item_table(self) -> Tensor:
        """Give what scores are made of, ``(N + 1, W + size)``; row 0 counts for nothing."""
        vectors = self.vectors[:-1, :-1]
        return vectors if self.items is None else torch.cat([vectors, self.items(vectors)], 1)

    def query(self, state: TensorDictBase) -> Tensor:
        """Give a session's query, ``(..., W + size)``."""
        query: Tensor = self.query_network(self.session_features(state))
        return query

    def session_features(self, state: TensorDictBase) -> Tensor:
        """Give the sums over the history, the observation, time, and success so far.

        An observation that the state lacks is 0.
        """
        vectors, step = vectors_of(self, state), state[Key.STEP]
        seen = state.get(Key.OBSERVATION, None) if self.observation_size else None
        if seen is None:
            seen = vectors.new_zeros(*vectors.shape[:-1], self.observation_size)
        features: Tensor = self.seen(
            vectors[..., :0], step, state[Key.ACCEPTED_TOTAL], torch.cat([vectors, seen], -1)
        )
        return features
