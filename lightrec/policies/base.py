"""The base class of policies: from a session's state to a slate.

A policy scores items; drawing slates from scores is the same for all and done here.
"""

from abc import ABC, abstractmethod

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from lightrec.keys import PADDING, Key
from lightrec.nn.part import Part
from lightrec.nn.plackett_luce import PlackettLuce


class Policy(Part, ABC):
    """Scores every item for a session's state; high means shown first.

    Subclass it in a plugin, give it JSON-able constructor arguments, and return the class from the
    hook ``lightrec_policies``.

    :param num_items: number of items N.
    """

    reads: tuple[str, ...] = (Key.USER_VECTOR, Key.STEP, Key.ACCEPTED_TOTAL)
    """The keys of a state from which :meth:`logits` are made, beside what may be shown;
    ``user_vector`` follows from ``history``."""
    history_length: int | None = None
    """How many of a history's last steps are read; None for all."""

    def __init__(self, num_items: int) -> None:
        super().__init__()
        self.num_items = num_items

    def user_vectors(self, history: Tensor) -> Tensor:
        """Sum a history up; the costly part of scoring, which depends on nothing else.

        :param history: ``(B, L)`` int64, any L, padded on the left; N + 1 for declined slates.
        :returns: ``(B, D)`` float32; D is 0 for policies that look at no history.
        """
        return torch.zeros(len(history), 0, device=history.device)

    @abstractmethod
    def score(self, user_vectors: Tensor, step: Tensor, accepted_total: Tensor) -> Tensor:
        """Score all items.

        :param user_vectors: ``(B, D)`` from :meth:`user_vectors`.
        :param step: ``(B, 1)`` int64 slates shown so far.
        :param accepted_total: ``(B, 1)`` float32 items accepted so far.
        :returns: ``(B, N + 1)`` float32 logits, column 0 minus infinity. Items that may not be
            shown are the caller's affair.
        """

    def scores(
        self, history: Tensor, step: Tensor | None = None, accepted_total: Tensor | None = None
    ) -> Tensor:
        """Score all items for histories, by default at the beginning of a session.

        :param history: ``(B, L)`` int64, any L, padded on the left.
        :returns: ``(B, N + 1)`` float32, column 0 minus infinity.
        """
        shape = (len(history), 1)
        if step is None:
            step = torch.zeros(shape, dtype=torch.int64, device=history.device)
        if accepted_total is None:
            accepted_total = torch.zeros(shape, device=history.device)
        return self.score(self.user_vectors(history), step, accepted_total)

    def logits(self, state: TensorDictBase) -> Tensor:
        """Score the columns of a state: all items, or the candidates that it offers.

        :param state: the keys of a simulator's state; ``user_vector`` is used where it is there.
        :returns: ``(..., N + 1)`` float32, or ``(..., C)`` where the state has ``candidates``;
            minus infinity where a candidate is no item. What ``mask`` forbids may have any score.
        """
        scores = self.score(vectors_of(self, state), state[Key.STEP], state[Key.ACCEPTED_TOTAL])
        candidates = state.get(Key.CANDIDATES, None)
        return scores if candidates is None else scores.gather(-1, candidates)

    def distribution(self, state: TensorDictBase, slate_size: int = 1) -> PlackettLuce:
        """The law of the slate in a state, over the columns that :meth:`logits` score."""
        return PlackettLuce(self.logits(state), state.get(Key.MASK, None), slate_size)

    def act(
        self, state: TensorDictBase, slate_size: int = 1, deterministic: bool = True
    ) -> TensorDictBase:
        """Write the slate and its log-probability into a state.

        :param deterministic: show the items of highest score, or draw.
        :returns: the state with ``action`` ``(B, K)`` and ``action_log_prob`` ``(B,)``.
        """
        distribution = self.distribution(state, slate_size)
        if deterministic:
            columns = distribution.mode
            state[Key.LOG_PROBABILITY] = distribution.log_prob(columns)
        else:
            columns, state[Key.LOG_PROBABILITY] = distribution.sample_and_log_prob()
        return state.set(Key.ACTION, items_at(state, columns))


class LearnedPolicy(Policy):
    """A policy that learners move, in simulators or on logs.

    What is seen of a session has no learned part, so that critics can see the same.
    """

    feature_size: int
    """Length of a state's features."""
    tune: bool = False
    """Whether user vectors are learned, so that they are of no use once the policy has moved."""

    @abstractmethod
    def session_features(self, state: TensorDictBase) -> Tensor:
        """Give a state's features ``(..., feature_size)`` float32, each of order 1."""


class UserMemory:
    """Keeps a policy's user vectors while histories stay what they are.

    A declined slate leaves most histories unchanged; only the others are read again.

    :param policy: whose vectors are kept. It must not change in between.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._history: Tensor | None = None
        self._vectors = torch.empty(0)

    def __call__(self, history: Tensor) -> Tensor:
        """Give the user vectors ``(B, D)`` of the same B sessions, a step later.

        :param history: ``(B, L)`` int64.
        """
        if self._history is None or self._history.shape != history.shape:
            self._vectors = self.policy.user_vectors(history)
        else:
            rows = (history != self._history).any(1).nonzero().squeeze(1)
            if len(rows):
                fresh = self.policy.user_vectors(history[rows])
                # Out of place: earlier steps' vectors are still somebody's.
                self._vectors = self._vectors.index_copy(0, rows, fresh)
        self._history = history
        return self._vectors


def vectors_of(policy: Policy, state: TensorDictBase) -> Tensor:
    """Give a state's user vectors ``(..., D)``: those that it holds, or the policy's."""
    vectors: Tensor | None = state.get(Key.USER_VECTOR, None)
    return policy.user_vectors(state[Key.HISTORY]) if vectors is None else vectors


def told(user_vectors: Tensor, step: Tensor, accepted_total: Tensor) -> TensorDict:
    """Make a state of what policies are told at least; all items may be shown."""
    state = {Key.USER_VECTOR: user_vectors, Key.STEP: step, Key.ACCEPTED_TOTAL: accepted_total}
    return TensorDict(state, batch_size=[len(step)])


def items_at(state: TensorDictBase, columns: Tensor) -> Tensor:
    """Turn columns ``(..., K)`` of a state into items, an empty place (-1) into 0."""
    candidates = state.get(Key.CANDIDATES, None)
    if candidates is None:
        return columns.clamp_min(PADDING)
    items: Tensor = candidates.gather(-1, columns.clamp_min(0))
    return items.masked_fill(columns < 0, PADDING)


def without_nothing(history: Tensor, num_items: int) -> Tensor:
    """Take declined slates (N + 1) out of histories and pad again on the left.

    :param history: ``(B, L)`` int64.
    :returns: ``(B, L)`` int64 with indices 0 to N.
    """
    known = (history > PADDING) & (history <= num_items)
    order = known.to(torch.int8).sort(dim=1, stable=True).indices
    return (history * known).gather(1, order)
