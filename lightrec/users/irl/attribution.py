"""What a learned reward is made of: integrated gradients.

Sundararajan, Taly and Yan (2017), "Axiomatic attribution for deep networks": along the straight way
from a baseline to the input, the gradient times the input's change is added up. The parts sum to
the reward's difference from the baseline's. The baseline is the average item, chosen after a
history of average items: all vectors are centred, and what items have by themselves is 0 on average
by its prior.
"""

import copy
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from lightrec.keys import PADDING
from lightrec.users.choice_model import ChoiceModel
from lightrec.users.reward_model import RewardModel

TABLES = ("vectors", "identity", "bias", "offsets")
"""What a choice model knows of each item."""
Tables: TypeAlias = dict[tuple[int, str], Tensor]
"""By the place of the choice model in the whole, and the name."""
Model: TypeAlias = ChoiceModel | RewardModel


class Attribution(NamedTuple):
    """Parts of B rewards, in nats."""

    reward: Tensor
    """(B,) r(s, i)."""
    baseline: Tensor
    """(B,) the reward of an average item after a history, of the same length, of such items."""
    vector: Tensor
    """(B, D): of each coordinate of the item's vector."""
    identity: Tensor
    """(B,): of what was learned for the item by itself."""
    bias: Tensor
    """(B,): of the item's level."""
    offset: Tensor
    """(B,): of its score that is the same for all users, such as popularity."""
    history: Tensor
    """(B, L): of each step of the history, all that is known of its item together."""

    @property
    def total(self) -> Tensor:
        """(B,) the sum of all parts: the reward less the baseline, up to the sum's error."""
        one = self.vector.sum(1) + self.identity + self.bias + self.offset
        return one + self.history.sum(1)


def attribute(model: Model, history: Tensor, items: Tensor, steps: int = 16) -> Attribution:
    """Say what the rewards of items chosen after histories are made of.

    :param model: a choice model, for its own reward, or a reward model.
    :param history: (B, L) int64, padded on the left; N + 1 is "chose nothing" and is left as it is.
    :param items: (B,) int64, none of them padding.
    :param steps: points of the Gauss-Legendre quadrature.
    """
    twin, tables, places, chosen = _with_rows_of_their_own(model, history, items)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    sums = [torch.zeros_like(value) for value in tables.values()]
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        scaled = {key: (float(node) * value).requires_grad_() for key, value in tables.items()}
        _put(twin, scaled)
        with torch.enable_grad():
            reward = twin.reward(places, chosen).sum()
            found = torch.autograd.grad(reward, list(scaled.values()), allow_unused=True)
        for total, gradient in zip(sums, found, strict=True):
            if gradient is not None:
                total += float(weight) * gradient
    # A reward model has several tables of one name, whose rows are the same items'.
    parts = {name: torch.zeros(()) for name in TABLES}
    for ((_, name), value), total in zip(tables.items(), sums, strict=True):
        part = (total * value).detach()
        if name != "vectors":
            part = part.reshape(len(part), -1).sum(1)
        parts[name] = parts[name].to(part) + part
    with torch.no_grad():
        _put(twin, {key: torch.zeros_like(value) for key, value in tables.items()})
        baseline = twin.reward(places, chosen).squeeze(1)
        reward = model.reward(history, items.unsqueeze(1)).squeeze(1)
    own = slice(1, 1 + len(items))
    rows = parts["vectors"].sum(1) + parts["identity"] + parts["bias"] + parts["offsets"]
    return Attribution(
        reward,
        baseline,
        parts["vectors"][own],
        parts["identity"][own],
        parts["bias"][own],
        parts["offsets"][own],
        rows[own.stop :].view(history.shape),
    )


def _choice_models(model: nn.Module) -> list[ChoiceModel]:
    return [part for part in model.modules() if isinstance(part, ChoiceModel)]


def _with_rows_of_their_own(
    model: Model, history: Tensor, items: Tensor
) -> tuple[Model, Tables, Tensor, Tensor]:
    """Copy a model so that every candidate and every step of a history is an item of its own.

    :returns: the copy, its items' tables (rows, ·), and in it the histories (B, L) and the items
        (B, 1).
    """
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    number = _choice_models(model)[0].num_items
    known = (history != PADDING) & (history <= number)
    # Row 0 and the steps without an item are nobody's, and all 0.
    source = torch.cat([items.new_zeros(1), items, torch.where(known, history, PADDING).flatten()])
    there = (source != PADDING).unsqueeze(1)
    tables: Tables = {}
    for place, part in enumerate(_choice_models(twin)):
        for name in TABLES:
            value: Tensor = getattr(part, name).detach()[source]
            tables[place, name] = (value.view(len(source), -1) * there).view_as(value)
        part.num_items = len(source) - 1
    own = torch.arange(1, len(items) + 1, device=items.device)
    steps = len(items) + 1 + torch.arange(history.numel(), device=items.device)
    places = torch.where(known, steps.view_as(history), PADDING)
    places = torch.where(history > number, len(source), places)
    return twin, tables, places, own.unsqueeze(1)


def _put(model: nn.Module, tables: Tables) -> None:
    """Put plain tensors in the place of items' tables, so that gradients reach them."""
    parts = _choice_models(model)
    for (place, name), value in tables.items():
        parts[place]._parameters.pop(name, None)
        parts[place]._buffers.pop(name, None)
        setattr(parts[place], name, value)
