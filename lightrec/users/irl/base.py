"""The base class of reward learners, and the two-step estimator.

The two-step estimator needs no learner: it reads rewards off a fitted choice model.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.nn.part import Part
from lightrec.users.choice_model import ChoiceModel, blocks
from lightrec.users.choice_sets import Batch
from lightrec.users.reward_model import RewardModel

Make = Callable[[], ChoiceModel]
"""Makes an untrained choice model."""


class RewardLearner(Part, ABC):
    """Learns a reward from choices, by networks of its own on the batches of the user model.

    A row of a batch is a choice from a set, or of nothing: ``Key.HISTORY`` (B, L),
    ``Key.CANDIDATES`` (R, C), ``Key.CHOICE`` (R,), ``Key.WEIGHT`` (R,); R is a multiple M of B, as
    blocks in the order of the histories. With :attr:`reads_next`, ``Key.NEXT_CANDIDATES`` (R, C) is
    the offer of the next step; ``Key.ENDED`` (R,) bool is whether there is none because the session
    ended, ``Key.CUT`` (R,) bool because the log of it did.

    How far people look ahead, γ' = γ · (1 - leave rate), is given: choices are as likely under one
    γ as under another. With γ' = 0 every learner is a conditional logit.

    A recipe names a subclass by ``learner: {class_path: my_package.MyLearner}``; its arguments are
    plain Python. All choice models that a learner holds get the items' vectors.
    """

    reads_next: ClassVar[bool] = False
    """Whether batches must hold the next step."""
    reward_network: ChoiceModel
    """Its utilities are the learned reward, unless :meth:`reward_model` says otherwise."""

    def build(self, make: Make, discount: float) -> None:
        """Make the networks; ``discount`` is γ', and each call of ``make`` a new choice model."""
        self.reward_network = make()

    @abstractmethod
    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Give a scalar to minimise, a mean over weighted rows; ``progress`` goes from 0 to 1."""

    def stepped(self) -> None:
        """Follow a step of the optimizer, as averaged target networks do."""

    def utilities(self, history: Tensor, items: Tensor) -> Tensor:
        """Give Q(s, i) - Q(s, nothing) by which people choose: (M · B, C) of sets (M · B, C)."""
        state = blocks(self.reward_network.state(history), len(items))
        return self.reward_network.utilities(state, items)

    def reward_model(self) -> RewardModel:
        """Give the learned reward."""
        return RewardModel(self.reward_network)


def mean(values: Tensor, batch: Batch, times: Tensor | float = 1.0) -> Tensor:
    """Average rows (R,) by their weights, each counted a number of times."""
    weight = batch[Key.WEIGHT]
    return (times * weight * values).sum() / weight.sum()


def chosen(values: Tensor, batch: Batch) -> Tensor:
    """Pick the choices' own (R,) from values (R, C + 1)."""
    return values.gather(1, batch[Key.CHOICE].unsqueeze(1)).squeeze(1)


@torch.no_grad()
def fit_continuation(
    model: ChoiceModel,
    batches: Iterable[Batch],
    *,
    discount: float,
    leave_rate: float,
    ridge: float = 1e-3,
) -> None:
    """Fit W of a model whose choices are fitted, in place: the two-step estimator's second step.

    Nothing has reward 0, so V(s, offer) = γ' W(s after nothing) - log P(nothing | s, offer), and
    W(s) is the mean of V over offers (Hotz and Miller 1993; the anchor of Geng et al. 2020). W is
    linear in the state: one least-squares temporal-difference solve (Bradtke and Barto 1996).

    :param batches: of choices, whose states and offers are read.
    :param discount: γ of one step.
    :param leave_rate: probability that a session ends after a step.
    :param ridge: added to the diagonal, relative to each feature's mean square.
    :raises RecipeError: where discount or leave rate is out of range.
    """
    if not (0 <= discount <= 1 and 0 <= leave_rate <= 1 and discount * (1 - leave_rate) < 1):
        raise RecipeError(
            f"discount is {discount} and leave_rate is {leave_rate}; both lie between 0 and 1, and "
            "discount · (1 - leave_rate) must be below 1."
        )
    model.discount.fill_(discount)
    model.leave_rate.fill_(leave_rate)
    torch.nn.init.zeros_(model.value.weight)
    torch.nn.init.zeros_(model.value.bias)
    if model.survival_discount == 0:
        return
    size = model.state_size + 1
    normal = torch.zeros(size, size, dtype=torch.float64, device=model.bias.device)
    squares, target = torch.zeros(2, size, dtype=torch.float64, device=model.bias.device)
    total = 0.0
    for batch in batches:
        columns = (Key.HISTORY, Key.CANDIDATES, Key.WEIGHT)
        history, items, weight = (batch[column].to(normal.device) for column in columns)
        user = None if model.profile is None else batch[Key.USER].to(normal.device)
        now, idle = (
            blocks(pad(state, (0, 1), value=1.0).double(), len(items))
            for state in (model.state(history), model.after_nothing(history))
        )
        surprise = -model.log_probabilities(history, items, user)[:, -1].double()
        weighted = now * weight.double().unsqueeze(-1)
        normal += weighted.T @ (now - model.survival_discount * idle)
        squares += (weighted * now).sum(0)
        target += weighted.T @ surprise
        total += float(weight.sum())
    # The ridge leaves the constant alone: W of the average state must not shrink.
    penalty = ridge * squares
    penalty[-1] = 0
    solution = torch.linalg.solve(normal + torch.diag(penalty + 1e-9 * total), target)
    model.value.weight.copy_(solution[:-1].unsqueeze(0))
    model.value.bias.copy_(solution[-1:])


def with_assumptions(
    model: ChoiceModel, batches: Iterable[Batch], *, nothing_odds_ratio: float = 1.0, **given: float
) -> ChoiceModel:
    """Copy a model under other assumptions; only the continuation value is fitted anew.

    :param nothing_odds_ratio: factor of the odds of choosing nothing. Where declined sets are
        assumed, it shifts the utility of nothing and no other part of the fitted choices.
    :param given: see :func:`fit_continuation`.
    """
    other = copy.deepcopy(model)
    other.nothing_shift += math.log(nothing_odds_ratio)
    fit_continuation(other, batches, **given)
    return other
