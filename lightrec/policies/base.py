"""The base classes of policies: from a session's state to the law of a slate."""

from abc import ABC, abstractmethod
from typing import Any, Protocol, Self

import torch
from torch import Tensor
from torch.nn.functional import embedding

from lightrec.data.store import EventStore
from lightrec.keys import PADDING, Key
from lightrec.moved import caller, warn_of
from lightrec.nn.part import Part
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.session import State
from lightrec.nn.slate_law import ItemSlates, SlateLaw, may_be_shown
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.scorers import Details
from lightrec.users.user_model import UserModel

SILENT = 1e-6
"""A column of item vectors whose standard deviation is below this is constant."""


class RunParts(Protocol):
    """Parts that a policy can be made of; a :class:`lightrec.run.Run` has them."""

    @property
    def data(self) -> EventStore:
        """The prepared log."""

    @property
    def ranker(self) -> Ranker:
        """The ranker."""

    @property
    def users_a(self) -> UserModel:
        """User model A, in which policies learn."""


class Policy(Part, ABC):
    """A law of the slate that is shown in a session's state.

    Subclass it in a plugin, give it JSON-able constructor arguments, and return the class from the
    hook ``lightrec_policies``.

    :param num_items: number of items N.
    """

    reads: tuple[str, ...] = (Key.USER_VECTOR, Key.STEP, Key.ACCEPTED_TOTAL)
    """The keys of a state that are read, next to what may be shown; ``user_vector`` follows from
    ``history``."""
    history_length: int | None = None
    """How many of a history's last steps are read; None for all."""
    always_drawn: bool = False
    """Whether slates are drawn even where the best ones are asked for."""

    def __init__(self, num_items: int) -> None:
        super().__init__()
        self.num_items = num_items

    @classmethod
    def from_run(cls, run: RunParts, **settings: Any) -> Self:
        """Make the policy for a run, by default of its number of items alone.

        :param settings: further arguments of the constructor.
        """
        return cls(run.data.num_items, **settings)

    @classmethod
    def from_world(cls, world: Any, **settings: Any) -> Self:
        """Make the policy for a world, a simulator without a run; see :meth:`from_run`."""
        from lightrec.settings import make_of  # jsonargparse, which answers need not import

        return make_of(cls, settings, num_items=world.num_items)

    @abstractmethod
    def distribution(self, state: State, slate_size: int = 1) -> SlateLaw:
        """The law of the slate in a state, over items.

        :param state: that of B sessions in a simulator, with ``mask`` or ``candidates``.
        :param slate_size: places K.
        """

    def arrange(self, slate: Tensor) -> Tensor:
        """Rearrange a slate before it is shown, to diversify it; by default do nothing.

        :param slate: ``(B, K)`` int64 items, 0 in empty places.
        :returns: the same items in another order, or others that may be shown as well.
        """
        return slate

    def user_vectors(self, history: Tensor) -> Tensor:
        """Summarise histories: the costly part of a law.

        :param history: ``(B, L)`` int64, any L, padded on the left; N + 1 for declined slates.
        :returns: ``(B, D)`` float32; D is 0 for policies that look at no history.
        """
        return torch.zeros(history.shape[0], 0, device=history.device)

    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score all items as a session begins; see :class:`~lightrec.ranking.scorers.ItemScorer`.

        Column 0 is minus infinity.
        """
        if not isinstance(histories, Tensor):  # a state, as in version 1 of the API
            warn_of("Policy.scores(state)", "Policy.scores_in(state)", caller())
            return self.scores_in(histories)
        return self.scores_in(session_start(histories, users))

    @torch.no_grad()
    def scores_in(self, state: State) -> Tensor:
        """Score all items, (B, N + 1), in a state in which everything may be shown.

        By default by their order in a slate of all of them.
        """
        order = self.distribution(state, self.num_items).mode
        scores = torch.full((len(order), self.num_items + 1), -torch.inf, device=order.device)
        ranks = torch.arange(order.shape[1], device=order.device).expand_as(order)
        return without_padding(scores.scatter(1, order, -ranks.float()))

    def act(self, state: State, slate_size: int = 1, deterministic: bool = True) -> State:
        """Write the slate and its log-probability into a state.

        :param deterministic: show the best items, or draw.
        :returns: the state with ``action`` ``(B, K)`` and ``action_log_prob`` ``(B,)``, that of the
            slate before it was arranged.
        """
        law = self.distribution(state, slate_size)
        best = deterministic and not self.always_drawn
        if not best and isinstance(law, ItemSlates):
            slate, state[Key.LOG_PROBABILITY] = law.sample_and_log_prob()
        else:
            slate = law.mode if best else law.sample()
            state[Key.LOG_PROBABILITY] = law.log_prob(slate)
        state[Key.ACTION] = self.arrange(slate)
        return state


class ScoredPolicy(Policy):
    """Scores what may be shown, and shows by the law of Plackett and Luce: high scores first."""

    @abstractmethod
    def logits(self, state: State) -> Tensor:
        """Score the columns of a state: all items, or the candidates that it offers.

        :returns: ``(..., N + 1)`` float32, or ``(..., C)`` where the state has ``candidates``. What
            may not be shown may have any score; without a ``mask`` column 0 is minus infinity.
        """

    def scores_in(self, state: State) -> Tensor:
        """The logits of all items, ``(B, N + 1)`` float32, column 0 minus infinity."""
        return without_padding(self.logits(state))

    def columns(self, state: State, slate_size: int = 1) -> PlackettLuce:
        """The law of the slate over the columns that :meth:`logits` scores, for learners."""
        return PlackettLuce(self.logits(state), may_be_shown(state), slate_size)

    def distribution(self, state: State, slate_size: int = 1) -> ItemSlates:
        """The law of the slate in a state, over items."""
        return ItemSlates(self.columns(state, slate_size), state.get(Key.CANDIDATES, None))


class TwoTowerPolicy(ScoredPolicy):
    """Scores an item by a state's query · the item's row in a table, which an index can search."""

    @abstractmethod
    def query(self, state: State) -> Tensor:
        """A state's query, ``(..., D)`` float32."""

    @abstractmethod
    def item_table(self) -> Tensor:
        """The items' rows, ``(N + 1, D)`` float32; row 0 counts for nothing."""

    def logits(self, state: State) -> Tensor:
        """Score the columns of a state; of an offer only the candidates are computed."""
        query, table = self.query(state), self.item_table()
        if (candidates := state.get(Key.CANDIDATES, None)) is None:
            scores = query @ table.T
            # A mask excludes column 0 anyway.
            return scores if Key.MASK in state.keys() else without_padding(scores)  # noqa: SIM118
        scores = torch.einsum("...a,...ca->...c", query, embedding(candidates, table))
        return scores.masked_fill(candidates == PADDING, -torch.inf)


class LearnedPolicy(ScoredPolicy):
    """A policy that learners train, in simulators or on logs."""

    feature_size: int
    """Length of a state's features."""
    tune: bool = False
    """Whether user vectors are learned, so that an update makes them stale."""

    @abstractmethod
    def session_features(self, state: State) -> Tensor:
        """A state's features ``(..., feature_size)`` float32, each of order 1.

        They have no learned part, so that critics see the same.
        """


def vectors_of(policy: Policy, state: State) -> Tensor:
    """A state's user vectors ``(..., D)``: those that it holds, or the policy's."""
    vectors: Tensor | None = state.get(Key.USER_VECTOR, None)
    return policy.user_vectors(state[Key.HISTORY]) if vectors is None else vectors


def with_biases(ranker: Ranker) -> Tensor:
    """A ranker's item vectors and the items' biases side by side: ``(N + 1, D + 1)``."""
    return torch.cat([ranker.item_vectors(), ranker.bias.unsqueeze(1)], 1)


def session_start(history: Tensor, users: Tensor | None = None) -> dict[str, Tensor]:
    """Make the state of sessions in which nothing was shown yet and all items may be.

    :param history: ``(B, L)`` int64, padded on the left.
    :param users: ``(B,)`` int64 rows of the user table, where they are known.
    """
    # Not its len, which an export would take for one number for good.
    zero = torch.zeros(history.shape[0], 1, device=history.device)
    state = {Key.HISTORY: history, Key.STEP: zero.long(), Key.ACCEPTED_TOTAL: zero}
    if users is not None:
        state[Key.USER] = users
    return state


def among_candidates(state: State, scores: Tensor) -> Tensor:
    """Turn scores ``(..., N + 1)`` of all items into those of a state's columns.

    :returns: the same, minus infinity for the padding, or ``(..., C)`` of the candidates.
    """
    scores = without_padding(scores)
    candidates = state.get(Key.CANDIDATES, None)
    return scores if candidates is None else scores.gather(-1, candidates)


def without_padding(scores: Tensor) -> Tensor:
    """Scores ``(..., N + 1)`` whose first is minus infinity."""
    return scores.index_fill(-1, torch.tensor([PADDING], device=scores.device), -torch.inf)


def without_nothing(history: Tensor, num_items: int) -> Tensor:
    """Take declined slates (N + 1) out of histories and pad again on the left.

    :param history: ``(B, L)`` int64.
    :returns: ``(B, L)`` int64 with indices 0 to N.
    """
    chosen = (history > PADDING) & (history <= num_items)
    # Each goes as far to the right as the number of those that follow it allows.
    places = history.shape[1] - chosen.flip(1).cumsum(1).flip(1)
    kept = history * chosen
    return torch.zeros_like(kept).scatter_add(1, places.clamp_max(history.shape[1] - 1), kept)
