"""The base class of rewards: from a transition to a number, and what a run lets it know."""

from abc import abstractmethod
from typing import Literal

import polars as pl
import torch
from tensordict import TensorDictBase
from torch import Tensor, nn

from lightrec.data.store import EventStore
from lightrec.errors import NotApplicable
from lightrec.keys import PADDING, Key
from lightrec.users.user_model import UserModel

MISSING = {
    "valuing": (
        "There is no model of values: all choices of the log have the same value, or too few are "
        "there. Take another reward, or a log with ratings or dwell."
    ),
    "returning": (
        "There is no model of returns: the log has no times, or too few users in it have a second "
        "session. Take another reward, or a longer log."
    ),
    "uncertainty": (
        "There is a single user model, which does not say how uncertain it is: fit an ensemble, "
        "with `members` above 1 in the recipe of user model A."
    ),
}
"""What is said where a user model cannot do what a reward needs."""


class RewardContext:
    """What a run lets its rewards know: its user model, its tables, and the learner's discount.

    :param users: the user model, which is used without gradients; None where there is none.
    :param store: the prepared log; None where there is none.
    :param discount: γ with which the learner weighs the next step, the probability of going on
        included where that is constant.
    :param fitted_ends: whether sessions end as users were fitted to leave, and by no discount.
    """

    def __init__(
        self,
        users: UserModel | None = None,
        store: EventStore | None = None,
        *,
        discount: float = 1.0,
        fitted_ends: bool = False,
    ) -> None:
        self._users, self._store = users, store
        self.discount, self.fitted_ends = discount, fitted_ends

    @property
    def users(self) -> UserModel:
        """The user model, frozen.

        :raises NotApplicable: where there is none.
        """
        if self._users is None:
            raise NotApplicable(
                "This reward goes by a user model, and there is none here: take a reward that "
                "needs none, such as EngagementReward, or fit users to a log first."
            )
        return self._users.requires_grad_(False)

    def users_with(self, what: Literal["valuing", "returning", "uncertainty"]) -> UserModel:
        """Give the user model, frozen, where it can do something.

        :raises NotApplicable: where it cannot.
        """
        several = len(self.users.members) > 1
        there = several if what == "uncertainty" else getattr(self.users, what) is not None
        if not there:
            raise NotApplicable(MISSING[what])
        return self.users

    @property
    def store(self) -> EventStore:
        """The prepared log."""
        if self._store is None:
            raise NotApplicable(
                "This reward reads the tables of a log, and there is no log here: take a reward "
                "that needs none, or train on a prepared log."
            )
        return self._store

    def item_attribute(self, name: str) -> pl.Series:
        """Give an attribute of the items, with its type: N rows, that of item i being i - 1."""
        return _column(self.store.catalog, name, "items")

    def user_attribute(self, name: str) -> pl.Series:
        """Give an attribute of the users, with its type: a row for each number under ``user``."""
        return _column(self.store.users, name, "users")


class Reward(nn.Module):
    """Turns a transition into a reward.

    Subclass it in a plugin and return the class from the hook ``lightrec_rewards``. What a reward
    needs of a run it takes in :meth:`bind`; its constructor has settings only.
    """

    def bind(self, context: RewardContext) -> None:
        """Take what the reward needs to know of a run, before it is first called.

        Register tensors as buffers and models as attributes, so that they move with the reward.
        By default rewards within the reward are bound; call this from a method of your own where
        there are some.

        :raises NotApplicable: where the log does not say what the reward needs.
        """
        for child in self.children():
            for part in child if isinstance(child, nn.ModuleList) else [child]:
                if isinstance(part, Reward):
                    part.bind(context)

    @abstractmethod
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1) float32 of B transitions.

        :param transition: at its root the state before, among it ``Key.USER`` (B,) and
            ``Key.HISTORY`` (B, L), and ``Key.ACTION`` (B, K), the slate shown; the response as
            ``Key.TAKEN`` (B, K), at the root or under ``next``. Simulators also give ``Key.STEP``
            and ``Key.ACCEPTED_TOTAL`` (B, 1) before the slate, and ``Key.VALUE`` (B, K) after it.
        """

    @property
    def judged(self) -> "Reward":
        """The reward by which policies are judged: this one, unless it is shaped for training."""
        return self

    @staticmethod
    def taken(transition: TensorDictBase) -> Tensor:
        """(B, K) bool: which items of the slate were taken, from the root or from ``next``."""
        nested = ("next", Key.TAKEN)
        key = nested if nested in transition.keys(include_nested=True) else Key.TAKEN
        taken: Tensor = transition[key]
        return taken

    @classmethod
    def after(cls, transition: TensorDictBase, nothing: int = PADDING) -> Tensor:
        """(B, L + K) int64: the histories after the step, padded on the left.

        :param nothing: what enters where nothing was accepted; 0 for nothing at all.
        """
        taken = cls.taken(transition)
        entered = transition[Key.ACTION] * taken
        entered[:, 0] += nothing * ~taken.any(1)
        longer = torch.cat([transition[Key.HISTORY], entered], 1)
        order = (longer > PADDING).to(torch.int8).sort(dim=1, stable=True).indices
        return longer.gather(1, order)


def _column(table: pl.DataFrame, name: str, what: str) -> pl.Series:
    if name not in table.columns:
        raise NotApplicable(
            f"The log's {what} have no attribute {name!r}; they have {', '.join(table.columns)}. "
            "Name one of these, or prepare the log with a table that has it."
        )
    return table[name]
