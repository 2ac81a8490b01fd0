"""A learned reward in words: beside the user model and in the report.

Three views: a reward that is linear in named features, fitted to the same choices; the parts of the
model's own reward; and the catalog's items of highest and lowest reward.
"""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from captum.attr import IntegratedGradients
from torch import Tensor, nn

from lightrec.api import PADDING, AfterTraining, Column, Key, Run, StageData, StageModule, UserModel
from lightrec.data.files import EXPLAINED
from lightrec.data.store import TEST, TRAIN, VALIDATION
from lightrec.evaluation.base import (
    NOTHING,
    Bars,
    Chart,
    Evaluator,
    Findings,
    Intervals,
    Section,
    Table,
)
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import ChoiceModel, blocks
from lightrec.users.irl import RewardLearner, RewardModel
from lightrec.users.module import ChoiceModule
from lightrec_audit.linear import (
    POPULARITY,
    LinearReward,
    LinearSets,
    RewardFeatures,
    fit_linear,
    linear_log_likelihood,
)

Model: TypeAlias = ChoiceModel | RewardModel
Later: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From histories (B, L) and sets (M · B, C) to effects of choices on later offers (M · B, C)."""
SHOWN = 10
"""Number of the best and of the worst items that are named."""
EVENTS, STATES, ITEMS, NUMBERS = 20_000, 200, 20_000, 50_000_000
"""Training choices, states, items, and features in memory (some 200 MB) at most."""
TABLES = ("vectors", "identity", "bias", "offsets")
"""A choice model's tables of items."""
WEIGHTS = 30
"""Number of weights shown at most, the surest first."""
LEVEL = "any item"
"""The weight that says how an average item compares with nothing; it is not drawn."""


class LearnedReward(AfterTraining):
    """Explains the reward of a user model that was trained, in ``explained.json`` beside it."""

    def add(
        self, module: StageModule, data: StageData, folder: Path, logs: Path
    ) -> Mapping[str, float]:
        """Explain it; gives ``linear/log_likelihood``."""
        if not (isinstance(module, ChoiceModule) and isinstance(data, ChoiceData)):
            return {}
        return explain(UserModel.load(folder), module.learner, data, folder)


class LearnedRewardSection(Evaluator):
    """Shows in the report what the learned reward holds; nothing where no stage explained it."""

    def evaluate(self, run: Run, seed: int) -> Findings:
        """No metrics: they are those of the stage ``users_a``."""
        explained, others = (_read(run.folder(stage)) for stage in ("users_a", "users_b"))
        if not explained:
            return Findings({})
        metrics = run.metrics("users_a")
        model, linear = (metrics.get(f"{n}log_likelihood") for n in ("", "linear/"))
        text = (
            "Rewards are in nats; choosing nothing is worth 0. The first table is a reward that is "
            "linear in named features. It is fitted to the same choices, less the value of later "
            "offers as the model has it; its 95 % intervals allow for the dependence between "
            "choices of one user. Popularity is counted in the same log and takes over part of "
            "what makes items popular, so the weights without it are shown, too."
        )
        if model is not None and linear is not None:
            text += (
                f" Held-out choices have a log-likelihood of {linear:.3f} under it and of "
                f"{model:.3f} under the model: the named features do not explain the difference."
            )
        text += (
            " How far people look ahead, γ, is an input: the log is as likely under other values, "
            "and a wrong one costs as much as looking ahead gains."
        )
        drawn: list[Chart] = []
        if "linear" in explained:
            ends = {r["feature"]: (r["weight"], r["low"], r["high"]) for r in _surest(explained)}
            ends.pop(LEVEL, None)
            drawn.append(Intervals(ends, "weight and 95 % interval, nats"))
        if "parts" in explained:
            parts = {p["part"]: p["mean"] for p in explained["parts"]}
            drawn.append(Bars(parts, "mean part of a chosen item's reward, nats"))
        section = Section(
            "What was learned",
            text,
            tables(explained, others),
            drawn,
            "Parts are integrated gradients from an average item after a history of average items, "
            f"whose reward is {explained.get('baseline', 0):.3f}; they add up to the difference. A "
            "part with mean 0 may still change single rewards: its size is the mean absolute "
            "value.",
        )
        return Findings({}, [section])


def tables(explained: Mapping[str, Any], other: Mapping[str, Any] | None = None) -> list[Table]:
    """Set a learned reward, next to the same of user model B, whose users are others."""
    made = []
    if "linear" in explained:
        others = {
            "without popularity": explained.get("without_popularity", []),
            "of the other users": (other or {}).get("linear", []),
        }
        shown = {head: {r["feature"]: r for r in rows} for head, rows in others.items() if rows}
        rows = [
            [row["feature"], f"{row['weight']:+.3f}", _interval(row)]
            + [_interval(column.get(row["feature"])) for column in shown.values()]
            for row in _surest(explained)
        ]
        made.append(Table(["feature", "weight", "95 % interval", *shown], rows))
    if "parts" in explained:
        rows = [[p["part"], f"{p['mean']:+.3f}", f"{p['size']:.3f}"] for p in explained["parts"]]
        made.append(Table([f"part, {explained['choices']} choices", "mean", "size"], rows))
    for side in ("best", "worst"):
        head = [f"{side} of {explained['looked_at']:,} items", "mean reward", "training events"]
        rows = [[r["title"], f"{r['reward']:+.3f}", f"{r['events']:,}"] for r in explained[side]]
        made.append(Table(head, rows))
    return made


def _read(folder: Path) -> dict[str, Any]:
    """The explained reward in a stage's folder; empty where there is none."""
    path = folder / EXPLAINED
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _surest(explained: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = sorted(explained["linear"], key=lambda r: -abs(r["weight"]) / max(r["error"], 1e-12))
    return rows[:WEIGHTS]


def _interval(row: Mapping[str, float] | None) -> str:
    return NOTHING if row is None else f"{row['low']:+.3f} to {row['high']:+.3f}"


@torch.no_grad()
def explain(
    users: UserModel, learner: RewardLearner | None, data: ChoiceData, folder: Path
) -> dict[str, float]:
    """Explain a learned reward in ``explained.json``.

    :param learner: of the reward; None where it is read off the first choice model.
    :returns: ``linear/log_likelihood``, of held-out choices by the linear reward; nothing where
        fewer than two users chose.
    """
    model, rewards = users.choice, users.reward_model or users.choice
    device = model.bias.device

    def later(history: Tensor, items: Tensor) -> Tensor:
        history, items = history.to(device), items.to(device)
        # The effect of a choice on later offers is its value less its reward.
        if learner is None:
            values = model.utilities(blocks(model.state(history), len(items)), items)
        else:
            values = learner.utilities(history, items)
        return (values - rewards.reward(blocks(history, len(items)), items)).cpu()

    explained, metrics = _linear(later, data)
    explained |= _parts(rewards, data, device) | _extremes(rewards, data, device)
    text = json.dumps(explained, indent=2, ensure_ascii=False) + "\n"
    (folder / EXPLAINED).write_text(text, encoding="utf-8")
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
    explained: dict[str, Any] = {"linear": _table(features.names, fitted), "users": fitted.users}
    # Popularity is counted in the same choices: it hides part of what makes items popular.
    kept = [i for i, name in enumerate(features.names) if name != POPULARITY]
    if len(kept) < len(features.names):
        names = [features.names[i] for i in kept]
        less = [part._replace(features=part.features[..., kept]) for part in sets]
        explained["without_popularity"] = _table(names, fit_linear(less))
    metrics = {}
    if len(data.events(TEST)):
        held_out = _linear_sets(later, data, features, TEST, data.max_evaluated)
        metrics["linear/log_likelihood"] = _number(linear_log_likelihood(held_out, fitted.weights))
    return explained, metrics


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
    """A part's choices as features, with their effects on later offers as an offset."""
    for batch in data.batches(part, limit=limit):
        history, items = batch[Key.HISTORY], batch[Key.CANDIDATES]
        # Padding has neither value nor reward.
        offset = later(history, items).masked_fill(items == PADDING, -torch.inf)
        values = features(blocks(history, len(items)), items)
        yield LinearSets(values, offset, batch[Key.CHOICE], batch[Key.WEIGHT], batch[Key.USER])


def _parts(model: Model, data: ChoiceData, device: torch.device) -> dict[str, Any]:
    """Split the rewards of held-out choices into parts, on average."""
    history, taken = _states(data, accepted=True)
    if not len(history):
        return {}
    reward, baseline, parts = attribute(model, history.to(device), taken.to(device))
    parts = {name: part.cpu() for name, part in parts.items()}
    age = torch.arange(history.shape[1] - 1, -1, -1)
    there = history != PADDING
    named, begin = {}, 0
    for name, block in data.blocks.items():
        end = begin + block.shape[1]
        named[f"what the item is: {name}"] = parts["vectors"][:, begin:end].sum(1)
        begin = end
    named |= {
        "what the item is by itself": parts["identity"] + parts["bias"],
        "popularity": parts["offsets"],
        "the last step": (parts["history"] * (there & (age == 0))).sum(1),
        "steps 2 to 5 before": (parts["history"] * (there & (age > 0) & (age < 5))).sum(1),
        "earlier steps": (parts["history"] * (there & (age >= 5))).sum(1),
    }
    table = [
        {"part": name, "mean": _number(x.mean()), "size": _number(x.abs().mean())}
        for name, x in named.items()
    ]
    ends = {"reward": _number(reward.cpu().mean()), "baseline": _number(baseline.cpu().mean())}
    return {"parts": table, "choices": len(history), **ends}


def _states(data: ChoiceData, accepted: bool) -> tuple[Tensor, Tensor]:
    """Draw validation states (B, L) and the choices in them (B,).

    :param accepted: whether to leave out states in which nothing was chosen.
    """
    events = data.events(VALIDATION)
    if not len(events):
        events = data.events(TRAIN)
    taken = data.store.items[events].astype(np.int64)
    if accepted:
        events, taken = events[taken <= data.num_items], taken[taken <= data.num_items]
    generator = torch.Generator().manual_seed(data.seed)
    drawn = torch.randperm(len(events), generator=generator)[:STATES].sort().values.numpy()
    users = data.store.users_of(events[drawn])
    history = data.store.histories(users, events[drawn], data.history_length)
    return torch.from_numpy(history), torch.from_numpy(taken[drawn])


def _extremes(model: Model, data: ChoiceData, device: torch.device) -> dict[str, Any]:
    """Name the items of highest and of lowest mean reward over states."""
    history, _ = _states(data, accepted=False)
    counts = torch.from_numpy(data.popularity)
    items = (counts[1:].argsort(descending=True, stable=True) + 1)[:ITEMS]
    sums = torch.zeros(len(items), dtype=torch.float64)
    # As many states at once as fit a hundred megabytes.
    size = max(1, 25_000_000 // (len(items) * max(m.state_size for m in _choice_models(model))))
    for part in history.split(size):
        shown = items.expand(len(part), -1).to(device)
        sums += model.reward(part.to(device), shown).double().sum(0).cpu()
    mean = sums / len(history)
    order = mean.argsort(descending=True, stable=True)
    catalog = data.store.catalog
    titles = [title or name for title, name in catalog.select(Column.TITLE, Column.ITEM).rows()]

    def named(places: Tensor) -> list[dict[str, Any]]:
        return [
            {"title": titles[item - 1], "reward": _number(mean[place]), "events": int(counts[item])}
            for place, item in zip(places, items[places].tolist(), strict=True)
        ]

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


def attribute(
    model: Model, history: Tensor, items: Tensor, steps: int = 16
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Split the rewards of items chosen after histories into parts, by integrated gradients.

    Gradient times change is summed along the straight line from a baseline to the input, so that
    the parts sum to the difference of their rewards (Sundararajan, Taly and Yan 2017, "Axiomatic
    attribution for deep networks"). The baseline, all tables being 0, is the average item after a
    history of average items.

    :param model: a choice model, for its own reward, or a reward model.
    :param history: (B, L) int64, padded on the left; N + 1 is "chose nothing" and stays.
    :param items: (B,) int64, none of them padding.
    :param steps: points of the Gauss-Legendre quadrature.
    :returns: rewards (B,) and baselines (B,) in nats, and parts: ``vectors`` (B, D) of each
        coordinate of the item's vector; (B,) of its learned ``identity``, its ``bias``, and its
        ``offsets``, such as popularity; ``history`` (B, L) of each step, all tables together.
    """
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    models = _choice_models(twin)
    number = models[0].num_items
    chose = (history != PADDING) & (history <= number)
    # In the twin every candidate and every step of a history is an item of its own. Row 0 and the
    # steps without an item belong to nobody, and are all 0.
    source = torch.cat([items.new_zeros(1), items, torch.where(chose, history, PADDING).flatten()])
    there = (source != PADDING).unsqueeze(1)
    places = torch.arange(1, len(source), device=items.device)
    chosen = places[: len(items)].unsqueeze(1)
    past = torch.where(chose, places[len(items) :].view_as(history), PADDING)
    past = torch.where(history > number, len(source), past)
    owners = [(part, name) for part in models for name in TABLES]
    tables = []
    for part, name in owners:
        value: Tensor = getattr(part, name).detach()[source]
        tables.append((value.view(len(source), -1) * there).view_as(value))
        part.num_items = len(source) - 1
        # A plain tensor takes the table's place, so that gradients reach it.
        delattr(part, name)

    def reward(scaled: Sequence[Tensor]) -> Tensor:
        for (part, name), value in zip(owners, scaled, strict=True):
            setattr(part, name, value)
        return twin.reward(past, chosen).squeeze(1)

    def total(*scaled: Tensor) -> Tensor:
        # Captum asks for a slope by each table, and a reward need not read all.
        unread = sum((each.sum() for each in scaled), torch.zeros(())) * 0
        return (reward([each[0] for each in scaled]).sum() + unread)[None]

    with torch.enable_grad():
        products = IntegratedGradients(total).attribute(
            tuple(value[None] for value in tables), n_steps=steps, internal_batch_size=1
        )
    # A reward model has several tables of one name, whose rows are the same items'.
    parts = {name: torch.zeros((), device=items.device) for name in TABLES}
    for (_, name), product in zip(owners, products, strict=True):
        each = product[0].detach().to(items.device, torch.float32)
        parts[name] = parts[name] + (each if name == "vectors" else each.view(len(each), -1).sum(1))
    with torch.no_grad():
        baseline = reward([torch.zeros_like(value) for value in tables])
        whole = model.reward(history, items.unsqueeze(1)).squeeze(1)
    rows = parts["vectors"].sum(1) + parts["identity"] + parts["bias"] + parts["offsets"]
    before = rows[1 + len(items) :].view(history.shape)
    chosen_parts = {name: part[1 : 1 + len(items)] for name, part in parts.items()}
    return whole, baseline, chosen_parts | {"history": before}


def _choice_models(model: nn.Module) -> list[ChoiceModel]:
    return [part for part in model.modules() if isinstance(part, ChoiceModel)]
