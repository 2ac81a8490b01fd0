"""The whole user model: how the users of a log choose, leave, value things, and come back."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightrec.nn.part import Part
from lightrec.users.choice_model import ChoiceModel
from lightrec.users.halves import in_half
from lightrec.users.irl import RewardModel
from lightrec.users.parts import LeavingModel, ReturnModel, ValueModel


class UserModel(Part):
    """The users of one log, and the folder that a stage of users leaves.

    They choose by the mean law of several choice models, fitted to the same log from different
    beginnings, which differ where the log has little data (Lakshminarayanan, Pritzel and Blundell
    2017, "Simple and scalable predictive uncertainty estimation using deep ensembles"). The first
    gives utilities, and the states that leaving, value and return read.

    All methods take histories (B, any length) int64, padded on the left, and may take the users as
    ``user`` (B,) int64, rows of the log's user table, whose attributes choices and rewards read
    where the choice models learned to.

    :param members: the choice models, of the same items.
    :param leaving: how users leave; None for the leave rate of the first member.
    :param valuing: the worth of things to users; None where all choices are worth the same.
    :param returning: when users come back; None where the log lacks the data.
    :param reward_model: the reward, learned next to the choices; None where it is read off the
        first member (the two-step estimator).
    :param offers: see :attr:`~lightrec.users.choice_data.ChoiceData.offer_settings`.
    :raises ValueError: where there is no member, or where histories of members differ.
    """

    def __init__(
        self,
        members: Sequence[ChoiceModel],
        leaving: LeavingModel | None = None,
        valuing: ValueModel | None = None,
        returning: ReturnModel | None = None,
        reward_model: RewardModel | None = None,
        offers: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        kinds = {(m.num_items, m.records_nothing) for m in members}
        if len(kinds) != 1:
            raise ValueError(
                "The members of a user model must be one or more choice models of the same items, "
                f"and agree on whether choosing nothing enters the history; these are {kinds}."
            )
        self.choices = nn.ModuleList(members)
        self.leaving = leaving
        self.valuing = valuing
        self.returning = returning
        self.reward_model = reward_model
        self.offers = dict(offers or {})
        self._reader: ChoiceModel | None = None

    @property
    def members(self) -> list[ChoiceModel]:
        """The choice models."""
        return [member for member in self.choices if isinstance(member, ChoiceModel)]

    @property
    def choice(self) -> ChoiceModel:
        """The first member, which gives states and utilities."""
        return self._reader or self.members[0]

    @property
    def num_items(self) -> int:
        """Number of items N."""
        return self.choice.num_items

    @property
    def history_length(self) -> int:
        """How many of a history's last steps any member reads."""
        return max(model.history_length for model in (*self.members, self.choice))

    @property
    def records_nothing(self) -> bool:
        """Whether choosing nothing enters the history, as item N + 1."""
        return self.choice.records_nothing

    def learned_from(self, num_users: int) -> NDArray[np.bool_]:
        """(U,) whether a user's choices were learned from; all, if no half was noted."""
        if not self.offers:
            return np.ones(num_users, bool)
        return in_half(np.arange(num_users), self.offers["half"], self.offers["split_seed"])

    def refits(self) -> "list[UserModel]":
        """Each member as the law of a user model of its own, all else being the same."""
        refits = [self.replaced(members=[member]) for member in self.members]
        for refit in refits:
            refit._reader = self.choice
        return refits

    def replaced(self, **pieces: Any) -> Self:
        """The same user model with other members or parts.

        :param pieces: arguments of the constructor; a part that is None is left out.
        """
        names = ("members", "leaving", "valuing", "returning", "reward_model", "offers")
        same = {name: getattr(self, name) for name in names}
        return type(self)(**{**same, **pieces}).train(self.training)

    def state(self, history: Tensor, user: Tensor | None = None) -> Tensor:
        """States (B, S) of the first member."""
        return self.choice.state(history)

    def utilities(
        self, history: Tensor, items: Tensor | None = None, user: Tensor | None = None
    ) -> Tensor:
        """Utilities by the first member, of items (B, C) or of all (B, N + 1), nothing having 0."""
        return self.choice.utilities(self.choice.state(history), items, user)

    def scores(
        self,
        histories: Tensor,
        users: Tensor | None = None,
        *,
        details: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Score all items by their utilities: (B, N + 1), minus infinity for the padding."""
        return self.utilities(histories, None, users)

    def predict(
        self, history: Tensor, items: Tensor, user: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Log-probabilities of choices from sets, and the user model's uncertainty about them.

        The uncertainty is the mutual information of member and choice, in nats: the entropy of the
        mean law less the mean entropy of the laws (Houlsby et al. 2011; Depeweg et al. 2018).

        :param items: (M · B, C) int64: M blocks of sets, each in the order of the histories.
        :returns: (M · B, C + 1), nothing in the last column, and (M · B,).
        """
        return self.law([m.state(history) for m in self.members], items, user)

    def law(
        self, states: Sequence[Tensor], items: Tensor, user: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same as :meth:`predict`, from the states (B, S) of each member."""
        laws = [m.law(s, items, user) for m, s in zip(self.members, states, strict=True)]
        if len(laws) == 1:
            return laws[0], laws[0].new_zeros(len(laws[0]))
        each = torch.stack(laws)
        mean = each.logsumexp(0) - torch.tensor(float(len(each)), device=each.device).log()
        whole, within = (torch.special.entr(law.exp()).sum(-1) for law in (mean, each))
        return mean, (whole - within.mean(0)).clamp_min(0)

    def leave(
        self,
        history: Tensor,
        step: Tensor,
        accepted_total: Tensor,
        accepted: Tensor,
        user: Tensor | None = None,
    ) -> Tensor:
        """Probabilities (B,) that a session ends after a step, whose answer ends the history.

        :param step: (B, 1) int64 slates shown so far, this one included.
        :param accepted_total: (B, 1) items accepted so far.
        :param accepted: (B, 1) whether one was accepted in this step.
        """
        if self.leaving is None:
            return self.choice.leave_rate.expand(len(history))
        logit: Tensor = self.leaving(self.state(history), step, accepted_total, accepted)
        return logit.sigmoid()

    def value(
        self, history: Tensor, items: Tensor, user: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the worth of items if they are taken.

        :param items: (B, C) int64, none of them padding.
        :returns: (B, C) each, in the log's own units.
        :raises ValueError: where values were not fitted.
        """
        features, _ = self.choice.item_features()
        state = self.state(history).repeat_interleave(items.shape[1], 0)
        flat = items.flatten()
        if self.valuing is None:
            raise ValueError("The log has no values, so that none were fitted.")
        mean, deviation = self.valuing(state, features[flat], flat)
        return mean.view_as(items), deviation.view_as(items)

    def reward(self, history: Tensor, items: Tensor, user: Tensor | None = None) -> Tensor:
        """Rewards (B, C) of items (B, C), in nats, nothing being worth 0."""
        if self.reward_model is not None:
            return self.reward_model.reward(history, items)
        return self.choice.reward(history, items, user)
