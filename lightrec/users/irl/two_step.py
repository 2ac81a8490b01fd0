"""The second step of the two-step estimator: the continuation value, from nothing's probability.

Nothing has reward 0, so in every state V(s, offer) = γ' W(s after nothing) - log P(nothing | s,
offer), and W(s) is the mean of V over offers (Hotz and Miller 1993; the anchor of Geng et al.
2020). W is linear in the state: one least-squares temporal-difference solve (Bradtke and Barto
1996) over the logged states and offers, without iterations or random numbers.
"""

import copy
import math
from collections.abc import Iterable

import torch
from torch import Tensor

from lightrec.errors import RecipeError
from lightrec.users.choice_model import ChoiceModel

Offer = tuple[Tensor, Tensor, Tensor]
"""Histories (B, L) int64, sets (M · B, C) int64 padded with 0, and the sets' weights float32.

The sets are M blocks, each in the order of the histories.
"""


@torch.no_grad()
def fit_continuation(
    model: ChoiceModel,
    offers: Iterable[Offer],
    *,
    discount: float,
    leave_rate: float,
    ridge: float = 1e-3,
) -> None:
    """Fit W of a model whose choices are fitted, in place; its choices stay as they are.

    :param offers: logged states with what was on offer.
    :param discount: γ of one step, from 0 to below 1.
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
    for history, items, weight in offers:
        blocks = len(items) // len(history)
        now = _with_one(model.state(history)).repeat(blocks, 1)
        idle = _with_one(model.after_nothing(history)).repeat(blocks, 1)
        surprise = -model.log_probabilities(history, items)[:, -1].double()
        weighted = now * weight.double().unsqueeze(-1)
        normal += weighted.T @ (now - model.survival_discount * idle)
        squares += (weighted * now).sum(0)
        target += weighted.T @ surprise
        total += float(weight.sum())
    # The ridge leaves the constant alone: W of the average state must not shrink.
    penalty = ridge * squares
    penalty[-1] = 0
    mean = normal + torch.diag(penalty + 1e-9 * total)
    solution = torch.linalg.solve(mean, target)
    model.value.weight.copy_(solution[:-1].unsqueeze(0))
    model.value.bias.copy_(solution[-1:])


def with_assumptions(
    model: ChoiceModel,
    offers: Iterable[Offer],
    *,
    discount: float,
    leave_rate: float,
    nothing_odds_ratio: float = 1.0,
    ridge: float = 1e-3,
) -> ChoiceModel:
    """Copy a model under other assumptions; only the continuation value is fitted anew.

    :param nothing_odds_ratio: by how much the odds of choosing nothing are multiplied. Where
        declined sets are assumed and not logged, that shifts the utility of nothing by the ratio's
        logarithm and changes nothing else in the fitted choices.
    """
    other = copy.deepcopy(model)
    other.nothing_shift += math.log(nothing_odds_ratio)
    fit_continuation(other, offers, discount=discount, leave_rate=leave_rate, ridge=ridge)
    return other


def _with_one(state: Tensor) -> Tensor:
    return torch.cat([state, torch.ones_like(state[:, :1])], -1).double()
