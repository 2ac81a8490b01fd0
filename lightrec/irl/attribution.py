"""What a learned reward is made of: integrated gradients of a choice model's reward.

Sundararajan, Taly and Yan (2017), "Axiomatic attribution for deep networks": along the straight way
from a baseline to the input, the gradient times the input's change is added up. The parts sum to
the reward's difference from the baseline's. The baseline is the average item, chosen after a
history of average items: all vectors are centred, and what items have by themselves is 0 on average
by its prior.
"""

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lightrec.keys import PADDING
from lightrec.nn.choice_model import ChoiceModel


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


def attribute(model: ChoiceModel, history: Tensor, items: Tensor, steps: int = 16) -> Attribution:
    """Say what the rewards of items chosen after histories are made of.

    :param history: (B, L) int64, padded on the left; N + 1 is "chose nothing" and is left as it is.
    :param items: (B,) int64, none of them padding.
    :param steps: points of the Gauss-Legendre quadrature.
    """
    twin, inputs, places, chosen = _with_rows_of_their_own(model, history, items)
    names = list(inputs)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    sums = {name: torch.zeros_like(value) for name, value in inputs.items()}
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        scaled = {n: (float(node) * v).requires_grad_() for n, v in inputs.items()}
        _put(twin, scaled)
        with torch.enable_grad():
            reward = twin.reward(places, chosen).sum()
            found = torch.autograd.grad(reward, [scaled[n] for n in names], allow_unused=True)
        for name, gradient in zip(names, found, strict=True):
            if gradient is not None:
                sums[name] += float(weight) * gradient
    parts = {name: (sums[name] * inputs[name]).detach() for name in names}
    with torch.no_grad():
        _put(twin, {name: torch.zeros_like(value) for name, value in inputs.items()})
        baseline = twin.reward(places, chosen).squeeze(1)
        reward = model.reward(history, items.unsqueeze(1)).squeeze(1)
    count = len(items)
    own = slice(1, 1 + count)
    rows = parts["vectors"].sum(1) + parts["identity"].sum(1) + parts["bias"] + parts["offsets"]
    return Attribution(
        reward,
        baseline,
        parts["vectors"][own],
        parts["identity"][own].sum(1),
        parts["bias"][own],
        parts["offsets"][own],
        rows[1 + count :].view(history.shape),
    )


def _with_rows_of_their_own(
    model: ChoiceModel, history: Tensor, items: Tensor
) -> tuple[ChoiceModel, dict[str, Tensor], Tensor, Tensor]:
    """Copy a model so that every candidate and every step of a history is an item of its own.

    :returns: the copy, its items' tables, and in it the histories (B, L) and the items (B, 1).
    """
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    known = (history != PADDING) & (history <= model.num_items)
    source = torch.cat([items.new_zeros(1), items, torch.where(known, history, PADDING).flatten()])
    tables = ("vectors", "identity", "bias", "offsets")
    inputs = {name: getattr(model, name).detach()[source].clone() for name in tables}
    # Row 0 and the steps without an item are nobody's.
    there = (source != PADDING).to(inputs["bias"])
    inputs = {n: v * (there if v.ndim == 1 else there.unsqueeze(1)) for n, v in inputs.items()}
    twin.num_items = len(source) - 1
    own = torch.arange(1, len(items) + 1, device=items.device)
    steps = len(items) + 1 + torch.arange(history.numel(), device=items.device)
    places = torch.where(known, steps.view_as(history), PADDING)
    places = torch.where(history > model.num_items, twin.num_items + 1, places)
    return twin, inputs, places, own.unsqueeze(1)


def _put(model: ChoiceModel, tables: dict[str, Tensor]) -> None:
    """Put plain tensors in the place of a model's tables, so that gradients reach them."""
    for name, value in tables.items():
        model._parameters.pop(name, None)
        model._buffers.pop(name, None)
        setattr(model, name, value)
