"""Measures of user models: likelihood, calibration, order within sets, disagreement of members."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from lightrec.calibration import BINS, calibration_error, reliability
from lightrec.data.store import TRAIN, VALIDATION
from lightrec.keys import PADDING, Key
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import ChoiceModel, blocks, with_nothing
from lightrec.users.halves import Half
from lightrec.users.user_model import UserModel

NEVER = -30.0
"""A shift that leaves nothing a probability below e⁻³⁰ next to an item of utility 0."""


def of_alternatives(log_probability: Tensor, choice: Tensor, weight: Tensor) -> Tensor:
    """Count every alternative of every set, nothing included, as a forecast, by its probability.

    :param log_probability: (B, C + 1); minus infinity is no alternative and is not counted.
    :param choice: (B,) int64, the column that was chosen; ``weight`` (B,) is that of the set.
    :returns: (3, BINS) float64, see :func:`~lightrec.calibration.reliability`.
    """
    counted = (log_probability > -torch.inf) * weight.double().unsqueeze(1)
    came_true = torch.zeros_like(counted).scatter_(1, choice.unsqueeze(1), 1.0)
    forecast = log_probability.double().exp().flatten()
    return reliability(forecast, came_true.flatten(), counted.flatten())


def maximised(function: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """Maximise a smooth function of a few numbers (F,) float64 by quasi-Newton steps."""

    @torch.enable_grad()
    def loss(numbers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        free = torch.tensor(numbers, requires_grad=True)
        value = -function(free)
        (gradient,) = torch.autograd.grad(value, free)
        return value.item(), gradient.numpy()

    return torch.from_numpy(minimize(loss, start.numpy(), jac=True, options={"gtol": 1e-7}).x)


def fit_temperature(utilities: Tensor, choice: Tensor, weight: Tensor) -> tuple[float, float]:
    """Fit temperature and shift by maximum likelihood (Platt 1999; Guo et al. 2017).

    Utilities are divided by the temperature; then the shift is subtracted from them, so that the
    odds of nothing, of utility 0, grow by exp(shift).

    :param utilities: (B, C), minus infinity where there is no item.
    :param choice: (B,) int64, C for nothing.
    :param weight: (B,).
    :returns: both; 1 and 0 where they gain less than one nat each, which parameters gain by chance
        (Akaike 1974). Where nothing is never chosen it is no alternative: the temperature is that
        of the items among themselves, and the shift is :data:`NEVER`.
    """
    scores, weights = utilities.double(), weight.double()
    scores = scores.nan_to_num(neginf=-1e9)
    chosen = bool((choice == utilities.shape[1]).any())
    start = scores.new_zeros(2 if chosen else 1)

    def log_likelihood(values: Tensor) -> Tensor:
        if chosen:
            log_p = with_nothing(scores / values[0].exp() - values[1]).log_softmax(1)
        else:
            log_p = (scores / values[0].exp()).log_softmax(1)
        return (weights * log_p.gather(1, choice.unsqueeze(1)).squeeze(1)).sum()

    # The line search may try any temperature: one below exp(-20) overflows and is rejected.
    fitted = maximised(lambda values: log_likelihood(values) / weights.sum(), start)
    gain = float(log_likelihood(fitted) - log_likelihood(start))
    if not gain > len(fitted):
        fitted = torch.zeros_like(fitted)
    return float(fitted[0].exp()), float(fitted[1]) if chosen else NEVER


def popularity_law(scores: Tensor, parameters: Tensor, items: Tensor) -> Tensor:
    """P(i | set) ∝ exp(a · score of i), nothing having utility b, for all users alike.

    :param scores: (N + 1,) scores of items, such as log popularity.
    :param parameters: (2,) a and b.
    :param items: (B, C) int64 sets, padded with 0.
    :returns: log-probabilities (B, C + 1), those of nothing in the last column.
    """
    utilities = (parameters[0] * scores[items]).masked_fill(items == 0, -torch.inf)
    return with_nothing(utilities, parameters[1].expand(len(items))).log_softmax(-1)


def fit_popularity(data: ChoiceData, limit: int = 20_000) -> Callable[[Tensor], Tensor]:
    """Fit :func:`popularity_law` to training choices by maximum likelihood."""
    batches = list(data.batches(TRAIN, limit=limit))
    columns = (Key.CANDIDATES, Key.CHOICE, Key.WEIGHT)
    items, choice, weight = (torch.cat([batch[key] for batch in batches]) for key in columns)
    scores = data.log_popularity.double()

    def mean_log_likelihood(parameters: Tensor) -> Tensor:
        log_p = popularity_law(scores, parameters, items).gather(1, choice.unsqueeze(1)).squeeze(1)
        return (weight * log_p).sum() / weight.sum()

    return partial(
        popularity_law, scores, maximised(mean_log_likelihood, scores.new_tensor([1, 0]))
    )


@torch.no_grad()
def calibrate(model: ChoiceModel, data: ChoiceData) -> None:
    """Fit a model's temperature and its shift of nothing on validation choices, in place."""
    batches = []
    for history, sets, user, choice, weight in _held_out(model, data, VALIDATION, data.half):
        state = blocks(model.state(history), len(sets))
        batches.append((model.utilities(state, sets, user).cpu(), choice, weight))
    if not batches:
        return
    temperature, shift = fit_temperature(*map(torch.cat, zip(*batches, strict=True)))
    # On top of an earlier calibration.
    model.nothing_shift.div_(temperature).add_(shift)
    model.temperature.mul_(temperature)


def _held_out(
    model: ChoiceModel | UserModel, data: ChoiceData, part: int, half: Half
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
    """Batches: histories (B, L), sets (M · B, C), users on the model's device; choices, weights."""
    device = next(model.parameters()).device
    for batch in data.batches(part, half, limit=data.max_evaluated):
        inputs = (batch[key].to(device) for key in (Key.HISTORY, Key.CANDIDATES, Key.USER))
        yield *inputs, batch[Key.CHOICE], batch[Key.WEIGHT]


@torch.no_grad()
def assess(
    users: UserModel,
    popularity: Callable[[Tensor], Tensor],
    data: ChoiceData,
    part: int,
    half: Half,
    counts: Tensor | None = None,
) -> dict[str, float]:
    """Judge the choices of a user model on held-out ones, next to popularity's law.

    :param counts: (3, BINS) float64, to which those of :func:`of_alternatives` are added.
    :returns: ``log_likelihood`` and ``popularity``, mean over weighted rows, in nats;
        ``accuracy``, how often the choice was the most likely; and the ``calibration_error`` of all
        alternatives. Of several members also ``disagreement``, their mean uncertainty in nats.
    """
    names = ["log_likelihood", "popularity", "accuracy"]
    names += ["disagreement"] * (len(users.members) > 1)
    total, sums = torch.zeros((), dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    counts = torch.zeros(3, BINS, dtype=torch.float64) if counts is None else counts
    for history, sets, user, choice, weight in _held_out(users, data, part, half):
        log_p, uncertainty = users.predict(history, sets, user)
        ours, theirs = log_p.double().cpu(), popularity(sets.cpu())
        counts += of_alternatives(ours, choice, weight)
        likely = (law.gather(1, choice.unsqueeze(1)).squeeze(1) for law in (ours, theirs))
        rows = (*likely, ours.argmax(1) == choice, uncertainty.double().cpu())
        weight = weight.double()
        total += weight.sum()
        sums += torch.stack([(weight * row).sum() for row in rows])
    if not total:
        return {}
    means = dict(zip(names, (sums / total).tolist(), strict=False))
    return {**means, "calibration_error": calibration_error(counts)}


@torch.no_grad()
def choice_auc(users: UserModel, data: ChoiceData, part: int, half: Half) -> float | None:
    """How well a reward separates the choice from the rest of its set.

    :returns: the share of the other items whose reward is below that of the choice, ties counting
        half; the mean over sets of which something was chosen, None where none has a second item.
    """
    shares = [torch.zeros(0, dtype=torch.float64)]
    for history, sets, user, choice, _ in _held_out(users, data, part, half):
        taken = choice < sets.shape[1]
        offered, slot = sets[taken], choice[taken].unsqueeze(1)
        rewards = users.reward(blocks(history, len(sets))[taken], offered, user[taken]).cpu()
        of_choice = rewards.gather(1, slot)
        others = (offered.cpu() != PADDING).scatter(1, slot, False)
        below = ((rewards < of_choice).double() + 0.5 * (rewards == of_choice)) * others
        shares.append(below.sum(1) / others.sum(1))  # NaN of a set without other items
    mean = float(torch.cat(shares).nanmean())
    return None if math.isnan(mean) else mean


@torch.no_grad()
def future_share(users: UserModel, data: ChoiceData, part: int, half: Half) -> float | None:
    """The share of the future, as opposed to reward, in the utilities of a choice.

    :returns: the root mean square of utility minus reward within sets, over that of the utility,
        each less its mean over the set; 0 where users do not look ahead, None where no set has two
        items of different utility.
    """
    sums = torch.zeros(2, dtype=torch.float64)
    for history, sets, user, *_ in _held_out(users, data, part, half):
        history = blocks(history, len(sets))
        utility = users.utilities(history, sets, user)
        there = (sets != PADDING).cpu()
        both = torch.stack([utility - users.reward(history, sets, user), utility]).double().cpu()
        both = both.masked_fill(~there, 0.0)
        centred = both - both.sum(2, keepdim=True) / there.sum(1, keepdim=True).clamp_min(1)
        sums += (centred.square() * there).sum((1, 2))
    return float((sums[0] / sums[1]).sqrt()) if sums[1] else None
