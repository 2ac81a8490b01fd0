"""The policy of two towers: a session's query against the items' vectors."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, pad

from lightrec.api import Key
from lightrec.nn.session import State, network_from_zero, with_progress
from lightrec.policies.base import SILENT, LearnedPolicy, RunParts, TwoTowerPolicy, vectors_of
from lightrec.trust import ARGUMENTS

PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""The ridge penalties to choose from."""


class TowerPolicy(TwoTowerPolicy, LearnedPolicy):
    """Scores items by a session's query · (item vector, learned item vector).

    A small network makes the query from the session's features; its last layer begins at zero, so
    that all items score the same at first. A second network makes the learned item vectors from the
    plain ones: these learn fast, those learn what is not linear in them. Nothing is learned for
    single items: one never shown in training is scored from its vector, and :meth:`with_items` adds
    it to a trained policy.

    :param num_items: number of items N.
    :param vector_size: length D of the item vectors, which :meth:`set_items` fills in.
    :param meaning_size: length of the meanings that replace long item vectors, such as those of
        texts; 0 takes the vectors as they are. See :meth:`set_items`.
    :param observation_size: length of the observations that a simulator gives; 0 for none.
    :param history_length: how many of a history's last steps are read.
    :param pools: number P of sums over these steps, with half-lives from one step to the whole
        history; 0 reads no history.
    :param size: width of the learned item vectors; 0 for none.
    :param hidden: widths of the query's hidden layers.
    :param item_hidden: width of the hidden layer of the learned item vectors.
    :param horizon: steps after which the step counts as 1.
    """

    history_length: int
    vectors: Tensor
    """(N + 2, W + 1) float32: centred and scaled vectors of length W, which is D or that of the
    meanings; zeros for padding, and for choosing nothing a one in the last column."""
    centre: Tensor
    """(D,) float32: means of the vectors' columns."""
    scale: Tensor
    """(W,) float32: standard deviations; infinite where a column is constant."""
    meaning: Tensor
    """(D, W) float32: the map from vectors to meanings; (D, 0) without."""
    weights: Tensor
    """(P, L) float32: weights of a history's steps in the sums."""

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
        self.history_length = history_length
        self.feature_size = pools * (width + 1) + observation_size + 2
        self.observation_size, self.horizon = observation_size, horizon
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
        self.query_network = network_from_zero([self.feature_size, *hidden, width + size])
        self.items: nn.Module | None = None
        if size:
            self.items = nn.Sequential(
                nn.Linear(width, item_hidden), nn.GELU(), nn.Linear(item_hidden, size)
            )

    @classmethod
    def from_run(cls, run: RunParts, **settings: Any) -> Self:
        """Make an untrained policy on the ranker's item vectors."""
        with torch.no_grad():
            vectors = run.ranker.item_vectors()
        policy = cls(len(vectors) - 1, vectors.shape[1], **settings).to(vectors.device)
        policy.set_items(vectors)
        return policy

    def set_items(self, vectors: Tensor, meanings: Tensor | None = None) -> "TowerPolicy":
        """Fill the item table, every column brought to mean 0 and variance 1.

        With meanings, an item's row is the prediction of its meaning from its vector by a ridge
        regression over the other items, as for a new item. So the policy cannot learn by heart what
        only the item's own vector contains, such as the wording of its text.

        :param vectors: (N + 1, D) float32; row 0 is ignored.
        :param meanings: (N + 1, W) float32 of the same items; row 0 is ignored. W is
            ``meaning_size``.
        """
        items = vectors[1:].to(self.vectors)
        self.centre.copy_(items.mean(0))
        if meanings is None:
            rows = items - self.centre
        else:
            weights, predicted = fit_left_out(items, meanings[1:].to(items))
            self.meaning.copy_(weights)
            rows = predicted - predicted.mean(0)
        spread = rows.std(0, correction=0)
        # Division by infinity: a constant column must not set later items apart.
        self.scale.copy_(spread.masked_fill(spread < SILENT, torch.inf))
        self.vectors.zero_()
        self.vectors[1:-1, :-1] = rows / self.scale
        self.vectors[-1, -1] = 1
        return self

    def with_items(self, vectors: Tensor) -> "TowerPolicy":
        """A policy that also shows new items, as N + 1 to N + M.

        They are scored from their vectors; the scores of items 1 to N stay the same. "Chose
        nothing" becomes N + M + 1.

        :param vectors: (M, D) float32, made as those given to :meth:`set_items`, such as by the
            same text encoder.
        :raises ValueError: where they have another length.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.vector_size:
            raise ValueError(
                f"The new items' vectors have the shape {tuple(vectors.shape)}; the policy was "
                f"trained on vectors of length {self.vector_size}. Give one such row an item."
            )
        total = self.num_items + len(vectors)
        with torch.random.fork_rng():  # the first weights are replaced
            grown = type(self)(**(self.description[ARGUMENTS] | {"num_items": total}))
        centred = vectors.to(self.vectors) - self.centre
        rows = (centred @ self.meaning if self.meaning.shape[1] else centred) / self.scale
        state, columns = self.state_dict(), pad(rows, (0, 1))
        state["vectors"] = torch.cat([self.vectors[:-1], columns, self.vectors[-1:]])
        grown.to(self.vectors.device).load_state_dict(state)
        return grown.train(self.training)

    def user_vectors(self, history: Tensor) -> Tensor:
        """The sums over histories, ``(B, P · (W + 1))``."""
        recent = history[:, -self.history_length :]
        recent = pad(recent, (self.history_length - recent.shape[1], 0))
        rows = embedding(recent, self.vectors)
        return torch.einsum("pl,bla->bpa", self.weights, rows).flatten(1)

    def item_table(self) -> Tensor:
        """The plain and the learned item vectors, ``(N + 1, W + size)``."""
        vectors = self.vectors[:-1, :-1]
        return vectors if self.items is None else torch.cat([vectors, self.items(vectors)], 1)

    def query(self, state: State) -> Tensor:
        """A session's query, ``(..., W + size)``."""
        return self.query_network(self.session_features(state))

    def session_features(self, state: State) -> Tensor:
        """The sums over the history, the observation, time, and success so far.

        An observation that the state lacks is 0.
        """
        vectors = vectors_of(self, state)
        seen = state.get(Key.OBSERVATION, None) if self.observation_size else None
        if seen is None:
            seen = vectors.new_zeros(*vectors.shape[:-1], self.observation_size)
        return with_progress(torch.cat([vectors, seen], -1), state, self.horizon)


def fit_left_out(
    inputs: Tensor, targets: Tensor, penalties: Sequence[float] = PENALTIES
) -> tuple[Tensor, Tensor]:
    """Regress targets on inputs, each column with the penalty that predicts left-out rows best.

    Leaving a row out needs no second fit (Allen 1974, "The relationship between variable selection
    and data augmentation"): its error is its residual, divided by 1 - h, with h the row's entry on
    the diagonal of the matrix that turns targets into fitted values. The means are those of all
    rows.

    :param inputs: (N, D).
    :param targets: (N, W).
    :returns: (D, W) weights of (x - mean of the inputs), and (N, W) predictions of each row by the
        others, less the targets' mean: new rows look like these, while a fit to the row's own
        target would flatter it. Both are of the inputs' type, computed in float64.
    """
    x, y = (part.double() - part.double().mean(0) for part in (inputs, targets))
    spreads, vectors = torch.linalg.eigh(x @ x.T)
    # The residual is penalty · (K + penalty)⁻¹ y, and 1 - h that matrix's diagonal.
    penalty = x.new_tensor(penalties).view(-1, 1, 1)
    left = penalty / (spreads.clamp_min(0).unsqueeze(1) + penalty)
    residual = vectors @ (left * (vectors.T @ y))
    error = residual / (vectors.square() @ left)
    best = error.square().mean(1).argmin(0).expand(1, len(x), -1)
    predicted = y - error.gather(0, best).squeeze(0)
    weights = x.T @ (residual / penalty).gather(0, best).squeeze(0)
    return weights.to(inputs), predicted.to(inputs)
