"""What is measured of choice models and rewards: likelihood, calibration, order within sets."""

from functools import reduce
from operator import add

import torch

from lightrec.data.store import TRAIN, VALIDATION
from lightrec.keys import PADDING, Key
from lightrec.users.calibration import Reliability
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import ChoiceModel
from lightrec.users.ensemble import Ensemble, UserModel
from lightrec.users.halves import Half
from lightrec.users.popularity_choice import PopularityChoice
from lightrec.users.reward_model import RewardModel
from lightrec.users.temperature import fit_temperature


def fit_popularity(data: ChoiceData, limit: int = 20_000) -> PopularityChoice:
    """Fit the popularity baseline on training choices."""
    model = PopularityChoice(data.log_popularity)
    batches = list(data.batches(TRAIN, limit=limit))
    columns = (Key.CANDIDATES, Key.CHOICE, Key.WEIGHT)
    with torch.enable_grad():
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
    model: UserModel, popularity: PopularityChoice, data: ChoiceData, part: int, half: Half
) -> dict[str, float]:
    """Judge a choice model on held-out choices, beside popularity.

    :returns: ``log_likelihood`` and ``popularity``, mean over weighted rows, in nats;
        ``accuracy``, how often what was chosen was the likeliest; and ``calibration_error``, see
        :attr:`~lightrec.users.calibration.Reliability.error`, of all alternatives. Of an
        ensemble also ``disagreement``, its mean uncertainty in nats.
    """
    device = next(model.parameters()).device
    names = ["log_likelihood", "popularity", "accuracy"]
    if isinstance(model, Ensemble):
        names.append("disagreement")
    sums = torch.zeros(1 + len(names), dtype=torch.float64)
    curves: list[Reliability] = []
    for batch in data.batches(part, half, limit=data.max_evaluated):
        weight, choice = batch[Key.WEIGHT].double(), batch[Key.CHOICE].unsqueeze(1)
        history, sets = batch[Key.HISTORY].to(device), batch[Key.CANDIDATES]
        if isinstance(model, Ensemble):
            found, uncertainty = model.predict(history, sets.to(device))
            sums[4] += (weight * uncertainty.double().cpu()).sum()
        else:
            found = model.log_probabilities(history, sets.to(device))
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
def choice_auc(
    reward_model: ChoiceModel | RewardModel, data: ChoiceData, part: int, half: Half
) -> float:
    """How well a reward tells what was chosen from the rest of its set.

    :returns: the share of the other items whose reward is below that of the item chosen, ties
        counting half; the mean over sets of which something was chosen, NaN where there is none.
    """
    device = next(reward_model.parameters()).device
    sums = torch.zeros(2, dtype=torch.float64)
    for batch in data.batches(part, half, limit=data.max_evaluated):
        sets, choice = batch[Key.CANDIDATES], batch[Key.CHOICE]
        taken = choice < sets.shape[1]
        history = batch[Key.HISTORY].repeat(len(sets) // len(batch[Key.HISTORY]), 1)
        rewards = reward_model.reward(history[taken].to(device), sets[taken].to(device)).cpu()
        own = rewards.gather(1, choice[taken].unsqueeze(1))
        others = (sets[taken] != PADDING).scatter(1, choice[taken].unsqueeze(1), False)
        below = ((rewards < own).double() + 0.5 * (rewards == own)) * others
        counts = others.sum(1)
        told = counts > 0
        sums[0] += (below.sum(1)[told] / counts[told]).sum()
        sums[1] += told.sum()
    return float(sums[0] / sums[1])


@torch.no_grad()
def future_share(
    model: ChoiceModel,
    reward_model: ChoiceModel | RewardModel,
    data: ChoiceData,
    part: int,
    half: Half,
) -> float:
    """How much of what items are weighed by in a choice is for the future, and not reward.

    :param model: the user model, whose utilities explain the choices.
    :param reward_model: the reward that was read off it.
    :returns: the root mean square of utility minus reward within sets, over that of the utility,
        each less its mean over the set; 0 where users do not look ahead, NaN without any set.
    """
    device = model.bias.device
    sums = torch.zeros(2, dtype=torch.float64)
    for batch in data.batches(part, half, limit=data.max_evaluated):
        sets = batch[Key.CANDIDATES].to(device)
        history = batch[Key.HISTORY].to(device)
        history = history.repeat(len(sets) // len(history), 1)
        utility = model.utilities(model.state(history), sets)
        there = (sets != PADDING).double().cpu()
        for number, values in enumerate((utility - reward_model.reward(history, sets), utility)):
            values = torch.where(there > 0, values.double().cpu(), 0.0)
            centred = values - values.sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp_min(1)
            sums[number] += (centred.square() * there).sum()
    return float((sums[0] / sums[1]).sqrt())
