"""Several choice models as one user, whose members' disagreement is what is not known of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from lightrec.users.choice_model import ChoiceModel

MEMBERS = "members"
"""Folder beside a choice model with the further members of an ensemble, each in its own."""


class Ensemble(nn.Module):
    """The mean of several laws of choice, fitted to the same log from different beginnings.

    Where the log has much to say they agree, elsewhere each goes its own way (Lakshminarayanan,
    Pritzel and Blundell 2017, "Simple and scalable predictive uncertainty estimation using deep
    ensembles").

    :param members: of the same items; of one class or of several.
    :raises ValueError: where there is none, or where they differ in what enters a history.
    """

    def __init__(self, members: Sequence[ChoiceModel]) -> None:
        super().__init__()
        kinds = {(m.num_items, m.records_nothing) for m in members}
        if len(kinds) != 1:
            raise ValueError(
                "The members of an ensemble must be one or more choice models of the same items, "
                f"and agree on whether choosing nothing enters the history; these are {kinds}."
            )
        self.members = nn.ModuleList(members)

    @property
    def first(self) -> ChoiceModel:
        """The member that stands for all where one state or one utility is asked for."""
        first = self.members[0]
        assert isinstance(first, ChoiceModel)
        return first

    @property
    def num_items(self) -> int:
        """Number of items N."""
        return self.first.num_items

    @property
    def history_length(self) -> int:
        """How many of a history's last steps any member reads."""
        return max(member.history_length for member in self.models)

    @property
    def records_nothing(self) -> bool:
        """Whether choosing nothing enters the history."""
        return self.first.records_nothing

    def refits(self) -> "list[Refit]":
        """The members, each as a user of its own."""
        return [Refit(member, self.first) for member in self.models]

    @property
    def models(self) -> list[ChoiceModel]:
        """The members."""
        return [member for member in self.members if isinstance(member, ChoiceModel)]

    def state(self, history: Tensor) -> Tensor:
        """States (B, S) of the first member, to which leaving was fitted."""
        return self.first.state(history)

    def log_probabilities(self, history: Tensor, items: Tensor) -> Tensor:
        """Give logarithms of the members' mean probabilities, as one choice model does."""
        return self.predict(history, items)[0]

    def predict(self, history: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of sets, and how much the members disagree on each.

        The disagreement is the mutual information of member and choice: the entropy of the mean
        law less the mean entropy of the laws, in nats; 0 where all agree, at most the logarithm of
        the number of members (Houlsby et al. 2011; Depeweg et al. 2018).

        :param history: (B, any length) int64.
        :param items: (M · B, C) int64.
        :returns: (M · B, C + 1), and (M · B,).
        """
        each = torch.stack([m.log_probabilities(history, items) for m in self.models])
        mean = each.logsumexp(0) - torch.tensor(float(len(each)), device=each.device).log()
        return mean, (_entropy(mean) - _entropy(each).mean(0)).clamp_min(0)

    def save_pretrained(self, folder: Path | str) -> None:
        """Save the first member as a choice model's folder, and the others in it."""
        first, *others = self.models
        first.save_pretrained(folder)
        for number, member in enumerate(others, start=1):
            member.save_pretrained(Path(folder) / MEMBERS / str(number))


class Refit(nn.Module):
    """One member of an ensemble as a user of its own.

    It chooses by its own law, and has the state of the first member, to which leaving was fitted.

    :param choice: the member.
    :param first: the first member.
    """

    def __init__(self, choice: ChoiceModel, first: ChoiceModel) -> None:
        super().__init__()
        self.choice, self.first = choice, first
        self.num_items = choice.num_items
        self.history_length = max(choice.history_length, first.history_length)

    @property
    def records_nothing(self) -> bool:
        """Whether choosing nothing enters the history."""
        return self.choice.records_nothing

    def state(self, history: Tensor) -> Tensor:
        """States (B, S) of the first member, to which leaving was fitted."""
        return self.first.state(history)

    def log_probabilities(self, history: Tensor, items: Tensor) -> Tensor:
        """Log-probabilities (M · B, C + 1) by the member's own law, nothing last."""
        return self.choice.log_probabilities(history, items)


UserModel: TypeAlias = ChoiceModel | Ensemble | Refit


def load_user_model(folder: Path | str) -> ChoiceModel | Ensemble:
    """Load what the stage users_a or users_b left: an ensemble where it has several members.

    :raises RunError: where the folder holds no choice model.
    """
    first = ChoiceModel.load(folder)
    folders = sorted((Path(folder) / MEMBERS).glob("*"), key=lambda path: int(path.name))
    if not folders:
        return first
    return Ensemble([first, *(ChoiceModel.load(path) for path in folders)]).eval()


def _entropy(log_probabilities: Tensor) -> Tensor:
    there = log_probabilities > -torch.inf
    return -torch.where(there, log_probabilities.exp() * log_probabilities, 0).sum(-1)
