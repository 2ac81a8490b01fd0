"""What is measured of choice models and rewards: likelihood, calibration, order within sets."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from torch import Tensor

from lightrec.data.store import TRAIN, VALIDATION
from lightrec.keys import PADDING, Key
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import ChoiceModel
from lightrec.users.halves import Half
from lightrec.users.user_model import UserModel

BINS = 20


@dataclass(frozen=True)
class Reliability:
    """What was foretold and what happened, by bins of equal width between 0 and 1.

    Counts of several batches add up with ``+``, so that a curve is one pass over the data.
    """

    weight: Tensor
    """(K,) float64: weight of the forecasts in each bin."""
    forecast: Tensor
    """(K,) float64: sum of weight · probability."""
    happened: Tensor
    """(K,) float64: weight of what came true."""

    @classmethod
    def of(
        cls,
        probability: Tensor,
        happened: Tensor,
        weight: Tensor | None = None,
        bins: int = BINS,
    ) -> "Reliability":
        """Count forecasts of events that came true or not.

        :param probability: any shape, from 0 to 1.
        :param happened: the same shape, bool or from 0 to 1.
        :param weight: broadcast against them; 1 each where it is None.
        :param bins: number of bins K.
        """
        foretold = probability.double()
        counted = torch.ones_like(foretold) if weight is None else weight.double()
        counted = counted.expand_as(foretold).flatten()
        foretold = foretold.flatten()
        place = (foretold * bins).long().clamp(0, bins - 1)

        def total(values: Tensor) -> Tensor:
            return values.new_zeros(bins).index_add_(0, place, values)

        true = happened.double().flatten()
        return cls(total(counted), total(counted * foretold), total(counted * true))

    @classmethod
    def of_choices(
        cls,
        log_probability: Tensor,
        choice: Tensor,
        weight: Tensor | None = None,
        bins: int = BINS,
    ) -> "Reliability":
        """Count every alternative of every set, nothing included, as one forecast.

        :param log_probability: (B, C + 1); minus infinity is no alternative and is not counted.
        :param choice: (B,) int64, the column that was chosen.
        :param weight: (B,) of the sets.
        """
        there = log_probability > -torch.inf
        counted = there if weight is None else there * weight.double().unsqueeze(1)
        chosen = torch.zeros_like(there).scatter_(1, choice.unsqueeze(1), True)
        return cls.of(log_probability.double().exp(), chosen, counted, bins)

    def __add__(self, other: "Reliability") -> "Reliability":
        return Reliability(
            self.weight + other.weight,
            self.forecast + other.forecast,
            self.happened + other.happened,
        )

    @property
    def curve(self) -> tuple[Tensor, Tensor]:
        """Mean forecast and share that came true, each (K,), in every bin; NaN in an empty one."""
        return self.forecast / self.weight, self.happened / self.weight

    @property
    def error(self) -> float:
        """Expected calibration error, from 0 to 1; 0 where nothing was foretold.

        That is the mean, over forecasts, of the distance in their bin between the mean forecast and
        the share that came true (Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017; over all
        alternatives, not the likeliest alone, Nixon et al. 2019). A bin of n forecasts of
        probability p is off by about sqrt(p (1 - p) / n) by chance.
        """
        total = float(self.weight.sum())
        return float((self.forecast - self.happened).abs().sum()) / total if total else 0.0


PARAMETERS = 2
NEVER = -30.0
"""A shift that leaves nothing a probability below e⁻³⁰ beside an item of utility 0."""


def maximised(function: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """Maximise a smooth function of a few numbers (F,) by L-BFGS, without a trace of gradients."""
    free = start.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS([free], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = -function(free)
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return free.detach()


def tempered(utilities: Tensor, temperature: Tensor, shift: Tensor) -> Tensor:
    """Log-probabilities (B, C + 1) of utilities (B, C), nothing, of utility 0, being last.

    :param temperature: by which utilities are divided.
    :param shift: what is then taken from them, so that nothing's odds grow by exp(shift).
    """
    scores = utilities / temperature - shift
    return torch.cat([scores, scores.new_zeros(len(scores), 1)], 1).log_softmax(1)


def fit_temperature(utilities: Tensor, choice: Tensor, weight: Tensor) -> tuple[float, float]:
    """Fit temperature and shift by maximum likelihood (Platt 1999; Guo et al. 2017).

    :param utilities: (B, C), minus infinity where there is no item.
    :param choice: (B,) int64, C for nothing.
    :param weight: (B,).
    :returns: both; 1 and 0 where they gain less in all than two parameters gain by chance, one nat
        each (Akaike 1974). Where nothing is never chosen it is no alternative: the temperature is
        that of the items among themselves, and the shift is :data:`NEVER`.
    """
    scores, weights = utilities.double(), weight.double()
    scores = scores.nan_to_num(neginf=-1e9)
    chosen = bool((choice == utilities.shape[1]).any())
    start = scores.new_zeros(PARAMETERS if chosen else 1)

    def log_likelihood(values: Tensor) -> Tensor:
        if chosen:
            log_p = tempered(scores, values[0].exp(), values[1])
        else:
            log_p = (scores / values[0].exp()).log_softmax(1)
        return (weights * log_p.gather(1, choice.unsqueeze(1)).squeeze(1)).sum()

    # The line search may try any temperature: one below exp(-20) overflows and is turned back.
    found = maximised(lambda values: log_likelihood(values) / weights.sum(), start)
    gain = float(log_likelihood(found) - log_likelihood(start))
    if not gain > len(found):
        found = torch.zeros_like(found)
    return float(found[0].exp()), float(found[1]) if chosen else NEVER


class PopularityChoice:
    """P(i | set) ∝ exp(a · score of i), nothing having utility b, for all users alike.

    :param scores: (N + 1,) scores of items, such as log popularity.
    """

    def __init__(self, scores: Tensor) -> None:
        self.scores = scores.double()
        self.weight = scores.new_ones((), dtype=torch.float64)
        self.nothing = scores.new_zeros((), dtype=torch.float64)

    def fit(self, items: Tensor, choice: Tensor, weight: Tensor) -> None:
        """Fit a and b by maximum likelihood.

        :param items: (B, C) int64 sets, padded with 0.
        :param choice: (B,) the slot taken, C for nothing.
        :param weight: (B,) how much a row counts.
        """

        def mean_log_likelihood(parameters: Tensor) -> Tensor:
            self.weight, self.nothing = parameters[0], parameters[1]
            log_p = self.log_probabilities(items).gather(1, choice.unsqueeze(1)).squeeze(1)
            return (weight * log_p).sum() / weight.sum()

        start = torch.stack([self.weight, self.nothing])
        self.weight, self.nothing = maximised(mean_log_likelihood, start)

    def log_probabilities(self, items: Tensor) -> Tensor:
        """Log-probabilities (B, C + 1) of items (B, C) and, in the last column, of nothing."""
        utilities = (self.weight * self.scores[items]).masked_fill(items == 0, -torch.inf)
        nothing = self.nothing.expand(len(items), 1)
        return torch.cat([utilities, nothing], -1).log_softmax(-1)


def fit_popularity(data: ChoiceData, limit: int = 20_000) -> PopularityChoice:
    """Fit the popularity baseline on training choices."""
    model = PopularityChoice(data.log_popularity)
    batches = list(data.batches(TRAIN, limit=limit))
    columns = (Key.CANDIDATES, Key.CHOICE, Key.WEIGHT)
    model.fit(*(torch.cat([batch[key] for batch in batches]) for key in columns))
    return model


@torch.no_grad()
def calibrate(model: ChoiceModel, data: ChoiceData) -> None:
    """Fit a model's temperature and its shift of nothing on validation choices, in place."""
    device = model.bias.device
    utilities, choices, weights = [], [], []
    for batch in data.batches(VALIDATION, limit=data.max_evaluated):
        sets = batch[Key.CANDIDATES].to(device)
        state = model.state(batch[Key.HISTORY].to(device))
        state = state.repeat(len(sets) // len(state), 1)
        utilities.append(model.utilities(state, sets).cpu())
        choices.append(batch[Key.CHOICE])
        weights.append(batch[Key.WEIGHT])
    if not utilities:
        return
    found, shift = fit_temperature(torch.cat(utilities), torch.cat(choices), torch.cat(weights))
    # What is measured from a model that was calibrated before comes on top of it.
    model.nothing_shift.div_(found).add_(shift)
    model.temperature.mul_(found)


@torch.no_grad()
def assess(
    users: UserModel, popularity: PopularityChoice, data: ChoiceData, part: int, half: Half
) -> dict[str, float]:
    """Judge the choices of a user model on held-out ones, next to popularity.

    :returns: ``log_likelihood`` and ``popularity``, mean over weighted rows, in nats;
        ``accuracy``, how often what was chosen was the likeliest; and ``calibration_error``, see
        :attr:`~lightrec.users.assessment.Reliability.error`, of all alternatives. Of
        several members also ``disagreement``, their mean uncertainty in nats.
    """
    device = next(users.parameters()).device
    names = ["log_likelihood", "popularity", "accuracy"]
    if len(users.members) > 1:
        names.append("disagreement")
    sums = torch.zeros(1 + len(names), dtype=torch.float64)
    curves: list[Reliability] = []
    for batch in data.batches(part, half, limit=data.max_evaluated):
        weight, choice = batch[Key.WEIGHT].double(), batch[Key.CHOICE].unsqueeze(1)
        history, sets = batch[Key.HISTORY].to(device), batch[Key.CANDIDATES]
        found, uncertainty = users.predict(history, sets.to(device))
        if len(names) > 3:
            sums[4] += (weight * uncertainty.double().cpu()).sum()
        ours = found.double().cpu()
        theirs = popularity.log_probabilities(sets)
        curves.append(Reliability.of_choices(ours, batch[Key.CHOICE], weight))
        hit = (ours.argmax(1) == choice.squeeze(1)).double()
        sums[0] += weight.sum()
        sums[1] += (weight * ours.gather(1, choice).squeeze(1)).sum()
        sums[2] += (weight * theirs.gather(1, choice).squeeze(1)).sum()
        sums[3] += (weight * hit).sum()
    if not sums[0]:
        return {}
    means = (sums[1:] / sums[0]).tolist()
    return {**dict(zip(names, means, strict=True)), "calibration_error": reduce(add, curves).error}


@torch.no_grad()
def choice_auc(users: UserModel, data: ChoiceData, part: int, half: Half) -> float:
    """How well a reward tells what was chosen from the rest of its set.

    :returns: the share of the other items whose reward is below that of the item chosen, ties
        counting half; the mean over sets of which something was chosen, NaN where there is none.
    """
    device = next(users.parameters()).device
    sums = torch.zeros(2, dtype=torch.float64)
    for batch in data.batches(part, half, limit=data.max_evaluated):
        sets, choice = batch[Key.CANDIDATES], batch[Key.CHOICE]
        taken = choice < sets.shape[1]
        history = batch[Key.HISTORY].repeat(len(sets) // len(batch[Key.HISTORY]), 1)
        rewards = users.reward(history[taken].to(device), sets[taken].to(device)).cpu()
        own = rewards.gather(1, choice[taken].unsqueeze(1))
        others = (sets[taken] != PADDING).scatter(1, choice[taken].unsqueeze(1), False)
        below = ((rewards < own).double() + 0.5 * (rewards == own)) * others
        counts = others.sum(1)
        told = counts > 0
        sums[0] += (below.sum(1)[told] / counts[told]).sum()
        sums[1] += told.sum()
    return float(sums[0] / sums[1])


@torch.no_grad()
def future_share(users: UserModel, data: ChoiceData, part: int, half: Half) -> float:
    """How much of what items are weighed by in a choice is for the future, and not reward.

    :returns: the root mean square of utility minus reward within sets, over that of the utility,
        each less its mean over the set; 0 where users do not look ahead, NaN without any set.
    """
    device = next(users.parameters()).device
    sums = torch.zeros(2, dtype=torch.float64)
    for batch in data.batches(part, half, limit=data.max_evaluated):
        sets = batch[Key.CANDIDATES].to(device)
        history = batch[Key.HISTORY].to(device)
        history = history.repeat(len(sets) // len(history), 1)
        utility = users.utilities(history, sets)
        there = (sets != PADDING).double().cpu()
        for number, values in enumerate((utility - users.reward(history, sets), utility)):
            values = torch.where(there > 0, values.double().cpu(), 0.0)
            centred = values - values.sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp_min(1)
            sums[number] += (centred.square() * there).sum()
    return float((sums[0] / sums[1]).sqrt())
