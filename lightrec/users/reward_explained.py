"""What a learned reward holds, in words: weights, parts, and the items that it likes best.

Three views, written beside the choice model as ``explained.json``: a reward that is linear in named
features, fitted to the same choices; what the model's own reward is made of; and the catalog's
items of highest and lowest reward.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from lightrec.data.store import TEST, TRAIN, VALIDATION
from lightrec.keys import PADDING, Column, Key
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import ChoiceModel
from lightrec.users.choice_sets import EventBatches
from lightrec.users.irl.attribution import Attribution, Model, attribute
from lightrec.users.irl.base import RewardLearner, blocks
from lightrec.users.irl.linear import LinearReward, LinearSets, fit_linear, linear_log_likelihood
from lightrec.users.reward_features import POPULARITY, RewardFeatures

Later: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From histories (B, L) and sets (M · B, C) to what choices do for later offers (M · B, C)."""
EXPLAINED = "explained.json"
"""Beside a choice model: what its reward holds."""

SHOWN = 10
"""How many of the best and of the worst items are named."""
EVENTS, STATES, ITEMS = 20_000, 200, 20_000
"""At most so many training choices, states and items are looked at."""
NUMBERS = 50_000_000
"""At most so many features are in memory, some 200 MB."""


@torch.no_grad()
def explain(
    model: ChoiceModel, learner: RewardLearner | None, data: ChoiceData, folder: Path
) -> dict[str, float]:
    """Explain what was learned of people's wishes and write it down.

    :param model: the user model, its continuation value fitted.
    :param learner: whose reward is explained, in place of the user model's own.
    :param data: whose training choices are explained.
    :param folder: an existing folder, which gets ``explained.json``.
    :returns: ``linear/log_likelihood``, of held-out choices by the linear reward; nothing where
        fewer than two users chose.
    """
    reward_model = model if learner is None else learner.reward_model()
    device = model.bias.device

    def later(history: Tensor, items: Tensor) -> Tensor:
        history, items = history.to(device), items.to(device)
        # What a choice does for later offers: its value less its reward.
        if learner is None:
            values = model.utilities(blocks(model.state(history), len(items)), items)
        else:
            values = learner.utilities(history, items)
        return (values - reward_model.reward(blocks(history, len(items)), items)).cpu()

    found, metrics = _linear(later, data)
    found |= _parts(reward_model, data, device) | _extremes(reward_model, data, device)
    (folder / EXPLAINED).write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    return metrics


def _linear(later: Later, data: ChoiceData) -> tuple[dict[str, Any], dict[str, float]]:
    """Fit a reward that is linear in named features."""
    if len(np.unique(data.store.users_of(data.events(TRAIN)))) < 2:
        return {}, {}
    features = RewardFeatures(data.store, data.vectors, data.popularity)
    offers = data.store.candidates
    number = data.candidates if offers is None else offers.shape[1]
    limit = min(EVENTS, NUMBERS // (2 * number * len(features.names)))
    sets = list(_linear_sets(later, data, features, TRAIN, limit))
    fitted = fit_linear(sets)
    found: dict[str, Any] = {"linear": _table(features.names, fitted), "users": fitted.users}
    # Popularity is counted in the same choices: it takes over part of what makes items popular.
    kept = [i for i, name in enumerate(features.names) if name != POPULARITY]
    if len(kept) < len(features.names):
        names = [features.names[i] for i in kept]
        less = [part._replace(features=part.features[..., kept]) for part in sets]
        found["without_popularity"] = _table(names, fit_linear(less))
    metrics = {}
    if len(data.events(TEST)):
        held_out = _linear_sets(later, data, features, TEST, data.max_evaluated)
        metrics["linear/log_likelihood"] = _number(linear_log_likelihood(held_out, fitted.weights))
    return found, metrics


def _table(names: list[str], fitted: LinearReward) -> list[dict[str, Any]]:
    low, high = fitted.intervals()
    columns = {"weight": fitted.weights, "error": fitted.errors, "low": low, "high": high}
    return [
        {"feature": name} | {key: _number(column[row]) for key, column in columns.items()}
        for row, name in enumerate(names)
    ]


def _linear_sets(
    later: Later, data: ChoiceData, features: RewardFeatures, part: int, limit: int | None
) -> Iterator[LinearSets]:
    """Give a part's choices as features, with what they do for later offers as an offset."""
    events = data.events(part)
    for seeds, rows, *_ in EventBatches(events, 2048, data.seed, shuffle=False, limit=limit):
        batch = data.sets[seeds, rows]
        history, items = batch[Key.HISTORY], batch[Key.CANDIDATES]
        # Padding has neither value nor reward.
        offset = later(history, items).masked_fill(items == PADDING, -torch.inf)
        users = blocks(torch.from_numpy(data.store.users_of(rows)), len(items))
        values = features(blocks(history, len(items)), items)
        yield LinearSets(values, offset, batch[Key.CHOICE], batch[Key.WEIGHT], users)


def _parts(model: Model, data: ChoiceData, device: torch.device) -> dict[str, Any]:
    """Say what rewards of held-out choices are made of, on average."""
    history, taken = _states(data, accepted=True)
    if not len(history):
        return {}
    found = attribute(model, history.to(device), taken.to(device))
    parts = Attribution(*(part.cpu() for part in found))
    age = torch.arange(history.shape[1] - 1, -1, -1)
    there = history != PADDING
    named = {f"what the item is: {name}": parts.vector[:, s].sum(1) for name, s in _blocks(data)}
    named |= {
        "what the item is by itself": parts.identity + parts.bias,
        "popularity": parts.offset,
        "the last step": (parts.history * (there & (age == 0))).sum(1),
        "steps 2 to 5 before": (parts.history * (there & (age > 0) & (age < 5))).sum(1),
        "earlier steps": (parts.history * (there & (age >= 5))).sum(1),
    }
    table = [
        {"part": name, "mean": _number(x.mean()), "size": _number(x.abs().mean())}
        for name, x in named.items()
    ]
    ends = {"reward": _number(parts.reward.mean()), "baseline": _number(parts.baseline.mean())}
    return {"parts": table, "choices": len(history), **ends}


def _blocks(data: ChoiceData) -> list[tuple[str, slice]]:
    """Name the coordinates of item vectors, in the order in which the data puts them together."""
    blocks, begin = [], 0
    for name, block in data.blocks.items():
        blocks.append((name, slice(begin, begin + block.shape[1])))
        begin += block.shape[1]
    return blocks


def _states(data: ChoiceData, accepted: bool) -> tuple[Tensor, Tensor]:
    """Draw validation states (B, L) and what was taken in them (B,)."""
    events = data.events(VALIDATION)
    if not len(events):
        events = data.events(TRAIN)
    taken = torch.from_numpy(data.store.items[events].astype("int64"))
    keep = taken <= data.num_items if accepted else torch.ones_like(taken, dtype=torch.bool)
    events, taken = events[keep.numpy()], taken[keep]
    generator = torch.Generator().manual_seed(data.seed)
    drawn = torch.randperm(len(events), generator=generator)[:STATES].sort().values
    chosen = events[drawn.numpy()]
    users = data.store.users_of(chosen)
    history = torch.from_numpy(data.store.histories(users, chosen, data.history_length))
    return history, taken[drawn]


def _extremes(model: Model, data: ChoiceData, device: torch.device) -> dict[str, Any]:
    """Name the items of highest and of lowest mean reward over states."""
    history, _ = _states(data, accepted=False)
    counts = torch.from_numpy(data.popularity)
    items = (counts[1:].argsort(descending=True, stable=True) + 1)[:ITEMS]
    sums = torch.zeros(len(items), dtype=torch.float64)
    # As many states at once as fit a hundred megabytes.
    widest = max(m.state_size for m in model.modules() if isinstance(m, ChoiceModel))
    size = max(1, 25_000_000 // (len(items) * widest))
    for part in history.split(size):
        shown = items.expand(len(part), -1).to(device)
        sums += model.reward(part.to(device), shown).double().sum(0).cpu()
    mean = sums / len(history)
    order = mean.argsort(descending=True, stable=True)
    titles = data.store.catalog.get_column(Column.TITLE)
    names = data.store.catalog.get_column(Column.ITEM)

    def named(places: Tensor) -> list[dict[str, Any]]:
        rows = []
        for place in places.tolist():
            item = int(items[place])
            title = titles[item - 1] or names[item - 1]
            rows.append(
                {"title": title, "reward": _number(mean[place]), "events": int(counts[item])}
            )
        return rows

    number = min(SHOWN, len(items) // 2)
    return {
        "best": named(order[:number]),
        "worst": named(order[len(order) - number :].flip(0)),
        "states": len(history),
        "looked_at": len(items),
    }


def _number(value: Tensor | float) -> float:
    """Leave out the last digits, in which sums depend on where in memory they were made."""
    return round(float(value), 6)
