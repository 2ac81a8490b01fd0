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
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize, pad

from lightrec.data.store import CATEGORIES, TEST, TRAIN, VALIDATION, EventStore
from lightrec.keys import PADDING, Column, Key
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import ChoiceModel
from lightrec.users.choice_sets import EventBatches
from lightrec.users.irl.attribution import Attribution, Model, attribute
from lightrec.users.irl.base import RewardLearner, blocks
from lightrec.users.irl.linear import LinearReward, LinearSets, fit_linear, linear_log_likelihood
from lightrec.users.user_model import UserModel

POPULARITY = "popularity (log)"
"""The feature that is counted in the log itself."""
RECENT = 5
"""How many of the last steps count as lately."""
FEW = 5
"""A category of fewer items has no feature of its own."""


class RewardFeatures:
    """Names and values of the features of items in states.

    One for every item; the log of its popularity; every number in the catalog; every value of the
    attributes of words with 2 to 40 values, of a single-valued one all but the most frequent; how
    near the item's vector is to the last step's and to those of the last steps; how many of these
    share a category with it; and, where items repeat, how often it was chosen in them. Popularity
    and numbers are in standard deviations over the catalog, the cosines in those of two random
    vectors, 1 / √D.

    :param store: the prepared log.
    :param vectors: (N + 1, D) float32, row 0 ignored.
    :param counts: (N + 1,) int64, how often each item was chosen.
    """

    def __init__(self, store: EventStore, vectors: Tensor, counts: NDArray[np.int64]) -> None:
        self.num_items, self.repeats = store.num_items, store.repeats
        popularity = torch.from_numpy(np.log1p(counts[1:]))
        named = {"any item": torch.ones(store.num_items)}
        if popularity.std() > 0:
            named[POPULARITY] = _standard(popularity)
        categories: dict[str, Tensor] = {}
        for name in store.catalog.columns:
            if name in (Column.ITEM, Column.TITLE, Column.TEXT):
                continue
            column = store.catalog.get_column(name)
            if column.dtype.is_numeric():
                numbers = torch.from_numpy(column.cast(pl.Float64).fill_nan(None).to_numpy().copy())
                if len(numbers[numbers.isfinite()].unique()) > 1:
                    named[name] = _standard(numbers)
            else:
                categories |= _one_hot(column)
        self.names = [*named, *categories]
        rows = torch.stack([*named.values(), *categories.values()], 1)
        # Row 0 is padding and row N + 1 nothing: neither is like anything.
        self.items = pad(rows.float(), (0, 0, 1, 1))
        kinds = rows[:, len(named) :].float()
        self.kinds = pad(kinds, (0, 0, 1, 1)) if kinds.shape[1] else None
        # Not copied: the catalog may be large.
        self.vectors, self.mean = vectors, vectors[1:].mean(0)
        if vectors.shape[1]:
            self.names += ["like the last", f"like the last {RECENT}"]
        if self.kinds is not None:
            self.names.append(f"of the last {RECENT}, of a shared category")
        if self.repeats:
            self.names.append(f"chosen in the last {RECENT}")

    def __call__(self, history: Tensor, items: Tensor) -> Tensor:
        """Values (B, C, F) float32.

        :param history: (B, L) int64, padded on the left.
        :param items: (B, C) int64, 0 for none.
        """
        recent = history[:, -RECENT:].clamp_max(self.num_items + 1)
        found = [self.items[items]]
        if self.vectors.shape[1]:
            near = self._direction(items) @ self._direction(recent).mT * len(self.mean) ** 0.5
            found += [near[..., -1:], near.mean(2, keepdim=True)]
        if self.kinds is not None:
            shared = self.kinds[items] @ self.kinds[recent].mT > 0
            found.append(shared.sum(2, keepdim=True).float())
        if self.repeats:
            there = items.unsqueeze(2) == recent.unsqueeze(1)
            found.append((there & (items > PADDING).unsqueeze(2)).sum(2, keepdim=True).float())
        return torch.cat(found, 2)

    def _direction(self, items: Tensor) -> Tensor:
        """Unit vectors (..., D) of items; padding and nothing are like nothing."""
        there = (items > PADDING) & (items <= self.num_items)
        centred = self.vectors[torch.where(there, items, PADDING)] - self.mean
        return normalize(centred, dim=-1) * there.unsqueeze(-1)


def _standard(numbers: Tensor) -> Tensor:
    """Centre and scale numbers (N,); what is not known is the mean."""
    known = numbers.isfinite()
    mean, spread = numbers[known].mean(), numbers[known].std().clamp_min(1e-12)
    return torch.where(known, (numbers - mean) / spread, 0)


def _one_hot(column: pl.Series) -> dict[str, Tensor]:
    """Columns (N,) of 0 and 1 for the values of an attribute of words; none if too many differ."""
    several = isinstance(column.dtype, pl.List)
    rows = column if several else column.cast(pl.String).reshape((-1, 1)).arr.to_list()
    if rows.dtype != pl.List(pl.String):
        return {}
    counts = rows.explode().drop_nulls().value_counts(sort=True)
    if not 2 <= counts.height <= CATEGORIES:
        return {}
    kept = [word for word, count in counts.iter_rows() if count >= FEW]
    # Of a single-valued attribute one value says nothing that the others and "any item" do not.
    shown = sorted(kept if several else kept[1:])
    has = {word: rows.list.contains(word).fill_null(False).to_numpy() for word in shown}
    return {f"{column.name}: {word}": torch.tensor(x).float() for word, x in has.items()}


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
    users: UserModel, learner: RewardLearner | None, data: ChoiceData, folder: Path
) -> dict[str, float]:
    """Explain what was learned of people's wishes and write it down.

    :param users: whose reward is explained, its continuation value fitted.
    :param learner: that learned it; None where it is read off the first choice model.
    :param data: whose training choices are explained.
    :param folder: an existing folder, which gets ``explained.json``.
    :returns: ``linear/log_likelihood``, of held-out choices by the linear reward; nothing where
        fewer than two users chose.
    """
    model, wanted = users.choice, users.wanted
    device = model.bias.device

    def later(history: Tensor, items: Tensor) -> Tensor:
        history, items = history.to(device), items.to(device)
        # What a choice does for later offers: its value less its reward.
        if learner is None:
            values = model.utilities(blocks(model.state(history), len(items)), items)
        else:
            values = learner.utilities(history, items)
        return (values - wanted.reward(blocks(history, len(items)), items)).cpu()

    found, metrics = _linear(later, data)
    found |= _parts(wanted, data, device) | _extremes(wanted, data, device)
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
