"""The base class of rewards: from a transition to a number, and what a run lets it know."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal, Protocol, TypeVar

import polars as pl
import torch
from tensordict import TensorDictBase
from torch import Tensor, nn

from lightrec.data.store import EventStore
from lightrec.errors import NotApplicable
from lightrec.keys import PADDING, Key
from lightrec.moved import old_names
from lightrec.users.user_model import UserModel

__getattr__ = old_names(__name__)
Needed = Literal["valuing", "returning", "uncertainty"]
_Part = TypeVar("_Part")
MISSING = {
    "users": "It goes by a user model, and there is none here: fit users to a log first.",
    "store": "It reads the tables of a log, and there is none here: train on a prepared log.",
    "valuing": "There is no model of values, for which the log needs enough choices of different "
    "values, such as ratings or dwell.",
    "returning": "There is no model of returns, for which the log needs times and users with "
    "a second session.",
    "uncertainty": "A single user model does not say how uncertain it is: fit an ensemble, with "
    "`members` above 1 in the recipe of user model A.",
}
"""Why a reward does not apply, by what is missing."""


class RewardContext:
    """A run as rewards may know it: its user model, its tables, and the learner's discount.

    :param users: the user model, which is used without gradients; None where there is none.
    :param store: the prepared log; None where there is none.
    :param discount: the learner's γ, times the probability of going on where that is constant.
    :param fitted_ends: whether sessions end by a fitted model of leaving, not by the discount.
    :param items: the items' table where there is no log, N rows.
    """

    def __init__(
        self,
        users: UserModel | None = None,
        store: EventStore | None = None,
        *,
        discount: float = 1.0,
        fitted_ends: bool = False,
        items: pl.DataFrame | None = None,
    ) -> None:
        self._users, self._store, self._items = users, store, items
        self.discount, self.fitted_ends = discount, fitted_ends

    @property
    def users(self) -> UserModel:
        """The user model, frozen.

        :raises NotApplicable: where there is none.
        """
        return _needed(self._users, "users").requires_grad_(False)

    def users_with(self, what: Needed) -> UserModel:
        """The user model, frozen.

        :raises NotApplicable: where it lacks a part, or is no ensemble, which knows uncertainty.
        """
        users = self.users
        _needed(users.members[1:] or None if what == "uncertainty" else getattr(users, what), what)
        return users

    @property
    def store(self) -> EventStore:
        """The prepared log.

        :raises NotApplicable: where there is none.
        """
        return _needed(self._store, "store")

    def item_attribute(self, name: str) -> pl.Series:
        """An attribute of the items, with its type: N rows, item i in row i - 1."""
        items = self.store.catalog if self._items is None else self._items
        return _column(items, name, "items")

    def user_attribute(self, name: str) -> pl.Series:
        """An attribute of the users, with its type: a row for each number under ``user``."""
        return _column(self.store.users, name, "users")


class Measured(nn.Module):
    """A measurement of a reward in training, whose state checkpoints hold."""


class Watcher(Protocol):
    """Judges a policy by more than the sum of a reward: it sees the steps of its sessions."""

    def __call__(self, state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        """See a step, as a :data:`~lightrec.simulators.rollout.Recorder` does."""

    def judged(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Metrics of the sessions, among them ``return`` and ``length``, as they are to count."""


class Reward(nn.Module):
    """Turns a transition into a reward.

    Subclass it in a plugin and return the class from the hook ``lightrec_rewards``. The constructor
    has settings only; :meth:`bind` takes what the reward needs of a run.
    """

    shaped: ClassVar[bool] = False
    """Whether it pays differences of a potential of states, in training only."""

    def bind(self, context: RewardContext) -> None:
        """Take what the reward needs to know of a run, before it is first called.

        Register tensors as buffers and models as attributes, so that they move with the reward.
        By default rewards within the reward are bound; where there are some, call this from a
        method of your own.

        :raises NotApplicable: where the log lacks what the reward needs.
        """
        for child in self.children():
            for part in child if isinstance(child, nn.ModuleList) else [child]:
                if isinstance(part, Reward):
                    part.bind(context)

    @abstractmethod
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1) float32 of B transitions.

        :param transition: at its root the state before, with ``Key.USER`` (B,) and ``Key.HISTORY``
            (B, L), and ``Key.ACTION`` (B, K), the slate shown; the response as ``Key.TAKEN``
            (B, K), at the root or under ``next``. Simulators also give ``Key.STEP`` and
            ``Key.ACCEPTED_TOTAL`` (B, 1) before the slate, and ``Key.VALUE`` (B, K) after it.
        """

    @property
    def judged(self) -> "Reward":
        """The reward by which policies are judged: this one, unless it is shaped for training."""
        return self

    def watcher(self) -> Watcher | None:
        """A watcher of sessions by which policies are judged; by default there is none."""
        return None

    def progress(self) -> dict[str, Tensor]:
        """Numbers of the reward's own that are logged in training, by name; by default none."""
        return {}

    def measured(self) -> nn.ModuleList:
        """All that this reward and those within it have measured in training."""
        return nn.ModuleList(part for part in self.modules() if isinstance(part, Measured))

    def nested(self) -> "list[Reward]":
        """The reward and all rewards within it."""
        return [part for part in self.modules() if isinstance(part, Reward)]

    @staticmethod
    def taken(transition: TensorDictBase) -> Tensor:
        """(B, K) bool: which items of the slate were taken, from the root or from ``next``."""
        after: Tensor | None = transition.get(("next", Key.TAKEN), None)
        return transition[Key.TAKEN] if after is None else after

    @classmethod
    def of_taken(cls, transition: TensorDictBase, values: Tensor) -> Tensor:
        """Sum values (B, K) of a slate's items over those that were taken: (B, 1)."""
        return torch.where(cls.taken(transition), values, 0.0).sum(1, keepdim=True)

    @classmethod
    def after(cls, transition: TensorDictBase, nothing: int = PADDING) -> Tensor:
        """(B, L + K) int64: the histories after the step, padded on the left.

        :param nothing: the item that enters where nothing was accepted; 0 for none.
        """
        taken = cls.taken(transition)
        entered = transition[Key.ACTION] * taken
        entered[:, 0] += nothing * ~taken.any(1)
        longer = torch.cat([transition[Key.HISTORY], entered], 1)
        order = (longer > PADDING).to(torch.int8).sort(dim=1, stable=True).indices
        return longer.gather(1, order)


class UserReward(Reward):
    """A reward by a run's user model."""

    needs: ClassVar[Needed | None] = None
    """What the user model must have."""

    def bind(self, context: RewardContext) -> None:
        """Take the user model."""
        self.users = context.users_with(self.needs) if self.needs else context.users

    @staticmethod
    def asked(transition: TensorDictBase) -> tuple[Tensor, Tensor, Tensor | None]:
        """Histories, slates in which any item stands in for padding, and users."""
        items, user = transition[Key.ACTION].clamp_min(1), transition.get(Key.USER, None)
        return transition[Key.HISTORY], items, user


def _needed(part: _Part | None, what: str) -> _Part:
    if part is None:
        raise NotApplicable(f"This reward cannot be used here. {MISSING[what]}")
    return part


def _column(table: pl.DataFrame, name: str, what: str) -> pl.Series:
    if name not in table.columns:
        raise NotApplicable(
            f"The log's {what} have no attribute {name!r}; they have {', '.join(table.columns)}. "
            "Name one of these, or prepare the log with a table that has it."
        )
    return table[name]
