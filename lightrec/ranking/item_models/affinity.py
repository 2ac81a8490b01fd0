"""Choices by the items' attributes: categories, brands, genres, price levels."""

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Final, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

from lightrec.data.attributes import STEP, Number, is_unknown, lists
from lightrec.data.sequences import Targets
from lightrec.data.store import TRAIN
from lightrec.data.types import parted
from lightrec.errors import NotApplicable
from lightrec.keys import PADDING, Key
from lightrec.ranking.blend_weights import Candidates, fit_weights, weighed
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models.base import Evidence, ItemModel
from lightrec.ranking.scorers import Details

SMOOTHINGS: Final = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Values tried as the addend of each item's count."""
MOST: Final = 16
"""Members of an item's list that are read."""
LOOKED_BACK: Final = 200
"""Events of a history that are read in fitting."""
EVENTS: Final = 1_000
"""Training events fitted to, at most,"""
BLOCK: Final = 1 << 24
"""and logarithms of theirs held at once."""
DRAWN: Final = 1_024
"""Items that stand for all others in a larger catalog."""
ALL: Final = slice(None)
LEAST: Final = 0.01
"""Weights below this are none."""


class AttributeAffinity(ItemModel):
    """Popularity, moved by how much more of an item's values somebody chooses than all others do.

    P(i | u) ∝ p_i^w Π_a r_a(i, u)^w_a, with p the items' shares of all events. Of a category,
    r is the product over its path, ``Books``, then ``Books > Crime``, of (n(v) + κ q(v)) /
    (n(v') + κ) / q(v): n is what the history's events with a value are worth, v' the value above,
    and q everybody's share of v among the events with v': a smoothed share over the usual one. Of a
    list, r is the mean over its members. Of a number such as a price, somebody has a level m that
    varies between people, and chooses around it with a standard deviation s between 0 and 1, of
    all events': r is the density of N(m, s²), m being known as well as n events tell, over that
    of N(0, 1).

    Training events, predicted by those before them about other items, choose κ or s of each
    attribute, and then all weights, by their likelihood.

    :param decay: what an event counts next to the one after it.
    :param power: of what an event's kind is worth, to give what it counts in n: events that only
        lead to the goal may tell as much of tastes as those of the goal.
    """

    TRIED: ClassVar = {"power": (1.0, 0.5, 0.0), "decay": (1.0, 0.95, 0.8)}
    """Values tried for the arguments, one after the other,"""
    SHRINKAGES: ClassVar = (0.5, 1.0, 2.0, 5.0, 15.0, 50.0)
    """for κ,"""
    SPREADS: ClassVar = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
    """and for s."""

    level: Tensor
    """(N + 1,) float32 logarithms of p."""
    members: Tensor
    """(A, N + 1, M) int64: the values that items have of each category or list, 0 for none."""
    parts: Tensor
    """(A, N + 1, M) float32: how much of an item each value is; they sum to 1."""
    paths: Tensor
    """(V, D) int64: a value and all above it, of which the first stands for the attribute."""
    above: Tensor
    """(V,) int64."""
    share: Tensor
    """(V,) float32: q."""
    shrinkage: Tensor
    """(V,) float32: κ."""
    numbers: Tensor
    """(D, N + 1) float32, in standard deviations of all events; NaN where they are unknown."""
    spreads: Tensor
    """(D,) float32: s."""
    weights: Tensor
    """(1 + A + D,) float32: of popularity, of categories and lists, and of numbers; attributes
    without weight are forgotten."""
    worth: Tensor
    """(K + 1,) float32: of an event by its kind of feedback."""

    def __init__(self, decay: float | None = None, power: float | None = None) -> None:
        super().__init__()
        self.decay, self.power = decay, power

    def fit(self, evidence: Evidence) -> Self:
        """Count, and choose by likelihood.

        :raises NotApplicable: where items have no attributes that tell anything.
        """
        worth = np.ones(1, np.float32) if evidence.worth is None else evidence.worth
        self.register_buffer("worth", torch.from_numpy(worth))
        tells = {"power": len(worth) > 1, "decay": evidence.is_ordered}
        settings = {name: getattr(self, name) for name in self.TRIED}
        tried = {n: v[: None if tells[n] else 1] for n, v in self.TRIED.items()}
        tried = {n: tried[n] if value is None else (value,) for n, value in settings.items()}
        self.power, self.decay = (tried[name][0] for name in self.TRIED)
        self.register_buffer("level", self._popularity(evidence)[0])
        owners = self._describe(evidence)
        if not len(self.members) + len(self.numbers):
            raise NotApplicable("The items have no attributes with several values.")
        fits: dict[tuple[float | None, ...], tuple[float, float, dict[str, Tensor]]] = {}
        for name, values in tried.items():
            for value in values:
                setattr(self, name, value)
                if (key := (self.decay, self.power)) not in fits:
                    fits[key] = self._chosen(evidence, owners)
            self.decay, self.power = best = max(fits, key=lambda key: fits[key][0])
        likely, usual, buffers = fits[best]
        for name, table in buffers.items():
            self.register_buffer(name, table)
        # Two numbers of each attribute were chosen (Akaike 1974).
        if likely - usual <= 2 * (len(self.weights) - 1) or not self.weights[1:].any():
            raise NotApplicable("The items' attributes do not tell what somebody chooses.")
        weighted = self.weights > 0
        self.weights = self.weights[weighted.index_fill(0, torch.tensor([0]), True)]
        kinds = ("members", "parts"), ("numbers", "spreads")
        count = 1 + len(self.members)
        for names, kept in zip(kinds, (weighted[1:count], weighted[count:]), strict=True):
            for name in names:
                self.register_buffer(name, getattr(self, name)[kept])
        return self

    def _chosen(self, evidence: Evidence, owners: Tensor) -> tuple[float, float, dict[str, Tensor]]:
        """Choose each attribute's κ or s by what it adds to popularity alone, then all weights.

        :returns: how likely the events are, and by popularity alone, and the buffers.
        """
        self.level, less = self._popularity(evidence)
        tried = torch.tensor([self.SHRINKAGES, self.SPREADS])
        kinds = len(self.members), len(self.numbers)
        added = []
        for shrinkage, spread in tried.T:
            self.register_buffer("shrinkage", shrinkage.expand(len(owners)))
            self.register_buffer("spreads", spread.expand(kinds[1]))
            candidates = self._candidates(evidence, less)
            popular, *others = candidates.differences
            added.append([_likelihood(popular + part + candidates.corrections) for part in others])
        best = torch.tensor(added).argmax(0)
        chosen = tried[[0] * kinds[0] + [1] * kinds[1], best]
        self.shrinkage = pad(chosen[: kinds[0]], (1, 0), value=1.0)[owners]
        self.spreads = chosen[kinds[0] :]
        candidates = self._candidates(evidence, less)
        weights = fit_weights(candidates)
        popular = fit_weights(replace(candidates, differences=candidates.differences[:1]))
        likely, usual = (
            _likelihood(weighed(some, candidates.differences[: len(some)]) + candidates.corrections)
            for some in (weights, popular)
        )
        weights = weights.where(weights >= LEAST, 0)
        names = "level", "shrinkage", "spreads"
        return likely, usual, {name: getattr(self, name) for name in names} | {"weights": weights}

    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score all items: (B, N + 1) shares of what somebody with such a history chooses."""
        padding = torch.tensor([PADDING], device=histories.device)
        total = self.weights[0] * self.level.index_fill(0, padding, 0.0)
        for weight, ratio in zip(self.weights[1:], self.ratios(histories, details), strict=True):
            total = total + weight * ratio
        return total.index_fill(1, padding, -torch.inf).softmax(1)

    def ratios(
        self, histories: Tensor, details: Details = None, items: Tensor | slice = ALL
    ) -> Iterator[Tensor]:
        """Logarithms of r, (B, N + 1) of each attribute: categories and lists, then numbers.

        :param items: those that are asked for.
        """
        assert self.decay is not None, "not fitted"
        ages = torch.arange(histories.shape[1] - 1, -1, -1, device=histories.device)
        # What each event counts.
        loud = self.decay**ages * (histories != PADDING)
        loud = loud * self._amounts((details or {}).get(Key.FEEDBACK))
        direct = torch.zeros(2, len(histories), len(self.above), device=histories.device)
        direct, counts = direct.unbind()
        for members, parts in zip(self.members, self.parts, strict=True):
            amounts = loud[..., None] * parts[histories]
            direct.scatter_add_(1, members[histories].flatten(1), amounts.flatten(1))
        for places in self.paths.T:
            counts.index_add_(1, places, direct)
        shares = (counts + self.shrinkage * self.share) / (counts[:, self.above] + self.shrinkage)
        steps = (shares / self.share).log()
        whole = torch.stack([steps[:, places] for places in self.paths.T]).sum(0)
        ratios = whole.exp().T.contiguous()
        for members, parts in zip(self.members[:, items], self.parts[:, items], strict=True):
            mixed = embedding_bag(members, ratios, per_sample_weights=parts, mode="sum")
            yield mixed.log().T
        for number, spread in zip(self.numbers, self.spreads, strict=True):
            events = loud * ~number.isnan()[histories]
            total = events.sum(1, keepdim=True) + spread**2 / (1 - spread**2)
            mean = (events * number.nan_to_num()[histories]).sum(1, keepdim=True) / total
            variance = spread**2 * (1 + 1 / total)
            at = number[items]
            density = (at**2 - (at - mean) ** 2 / variance - variance.log()) / 2
            yield density.nan_to_num()

    def _amounts(self, kinds: Tensor | None) -> Tensor:
        """Amounts that events of some kinds count: nothing where they are worth nothing."""
        assert self.power is not None, "not fitted"
        if kinds is None or len(self.worth) == 1:
            return self.worth.new_ones(())
        return (self.worth**self.power * (self.worth > 0))[kinds]

    def _popularity(self, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """Logarithms of p, (N + 1,), and by how much an item's is less without one event, (N,).

        To each item's count is added what makes events of the goal most likely given all others.
        """
        log, size = evidence.log, evidence.num_items + 1
        kinds = None if log.feedback is None else torch.from_numpy(np.int64(log.feedback))
        amounts = np.broadcast_to(self._amounts(kinds).numpy(), log.items.shape)
        counts = torch.from_numpy(np.bincount(log.items, amounts, size)[1:])
        goal = torch.from_numpy(np.bincount(log.items, evidence.worths == 1, size)[1:])
        others = (counts - 1).clamp_min(0)

        def likelihood(added: float) -> float:
            return float(goal @ ((others + added) / (counts.sum() + added * len(counts))).log())

        added = max(SMOOTHINGS, key=likelihood)
        level = (counts + added).log().log_softmax(0).float()
        less = ((counts + added) / (others + added)).log().float()
        return pad(level, (1, 0), value=-torch.inf), less

    def _describe(self, evidence: Evidence) -> Tensor:
        """Keep what items are as buffers.

        :returns: (V,) int64: which attribute each value is of, the first being 1.
        """
        weight, values = self.level.exp().double(), _Values()
        numbers = [torch.zeros(0, len(weight))]
        for name, kind in evidence.kinds.items():
            column, kind = evidence.items[name], parted(kind)[0]
            if kind in ("category", "list"):
                values.add(column)
            elif kind in ("number", "date") and (fitted := Number.fitted(column)):
                steps = torch.from_numpy(fitted(column)[:, 0])
                steps[torch.from_numpy(is_unknown(column).to_numpy())] = torch.nan
                steps = pad(steps, (1, 0), value=torch.nan)
                numbers.append(_standardised(steps, weight)[None])
        self.register_buffer("numbers", torch.cat(numbers))
        width = max([table.shape[1] for table in values.members], default=1)
        empty = torch.zeros(0, len(weight), width, dtype=torch.int64)
        each = [pad(table, (0, width - table.shape[1]))[None] for table in values.members]
        members = torch.cat([empty, *each])
        parts = (members > 0).float()
        parts[:, :, 0] += (members == 0).all(2)
        depth = max(map(len, values.paths))
        paths = torch.tensor([path + [0] * (depth - len(path)) for path in values.paths])
        above = torch.tensor([path[max(0, len(path) - 2)] for path in values.paths])
        parts /= parts.sum(2, keepdim=True)
        direct, mass = torch.zeros(2, len(paths), dtype=torch.float64)
        direct.index_add_(0, members.flatten(), (weight[:, None] * parts).flatten())
        for places in paths.T:
            mass.index_add_(0, places, direct)
        share = (mass / mass[above]).float()
        share[0] = 1
        tables = {"members": members, "parts": parts, "paths": paths, "above": above}
        for name, table in (tables | {"share": share}).items():
            self.register_buffer(name, table)
        return torch.tensor(values.owners)

    @torch.no_grad()
    def _candidates(self, evidence: Evidence, less: Tensor) -> Candidates:
        """Scores of popularity and all attributes at training events that are to be brought about.

        An event about the same item as the one that is predicted tells nothing of attributes.
        """
        log, chance = evidence.log, np.random.default_rng(0)
        usual = self.level.exp().numpy()[1:]
        rest, corrections = np.arange(evidence.num_items) + 1, np.zeros(evidence.num_items)
        if len(rest) > 2 * DRAWN:
            law = (usual / usual.sum() + 1 / len(rest)) / 2
            rest = chance.choice(rest, DRAWN, p=law / law.sum())
            corrections = -np.log(DRAWN * law[rest - 1])
        count = 1 + len(self.members) + len(self.numbers)
        events = np.flatnonzero((np.asarray(log.parts) == TRAIN) & (evidence.worths == 1))
        targets = Targets(np.asarray(log.items)[events], log.users_of(events), events)
        limit = max(1, min(EVENTS, BLOCK // (count * len(rest))))
        batches = EvaluationEvents(log, targets, LOOKED_BACK, 256, limit, 0)
        drawn, each = torch.from_numpy(rest), torch.from_numpy(corrections).float()
        blocks = [(torch.zeros(count, 0, len(rest)), torch.zeros(0, len(rest)))]
        for batch in batches:
            past, target = batch[Key.HISTORY], batch[Key.TARGET][:, None]
            items, size = torch.cat([drawn, target[:, 0]]), len(drawn)
            ratios = self.ratios(past.where(past != target, PADDING), batch, items)
            said = [self.level[items].expand(len(past), -1), *ratios]
            pieces = [part[:, :size] - part[:, size:].diagonal()[:, None] for part in said]
            pieces[0] = pieces[0] + less[target - 1]  # popularity without the event itself
            barred = torch.zeros(len(past), evidence.num_items + 1, dtype=torch.bool)
            barred.scatter_(1, batch[Key.SEEN], True).scatter_(1, target, True)
            rows = each.expand(len(past), -1).masked_fill(barred[:, drawn], -torch.inf)
            blocks.append((torch.stack(pieces), rows))
        differences, each = (torch.cat(p, -2) for p in zip(*blocks, strict=True))
        return Candidates(differences, each, len(rest), torch.from_numpy(batches.users))


def _likelihood(logits: Tensor) -> float:
    """Log-likelihood of what came, given the logits (E, C) of all else less its own."""
    return -float(logits.logsumexp(1).logaddexp(torch.zeros(())).double().sum())


def _standardised(steps: Tensor, weight: Tensor) -> Tensor:
    """Numbers of items (N + 1,) in standard deviations of all events, from their mean."""
    finite = steps.isfinite()
    law = weight.where(finite, 0) / weight[finite].sum()
    steps = steps - law @ steps.nan_to_num()
    return (steps / (law @ steps.nan_to_num() ** 2).sqrt()).float()


class _Values:
    """The values of categories and lists, numbered through, each below another."""

    def __init__(self) -> None:
        self.members: list[Tensor] = []
        """(N + 1, M) int64 of each attribute."""
        self.paths, self.owners = [[0]], [0]

    def add(self, column: pl.Series) -> None:
        """Number an attribute's values, unless there are less than two."""
        rows = pl.DataFrame({"row": np.arange(1, len(column) + 1), "value": lists(column)})
        rows = rows.explode("value").drop_nulls().unique(maintain_order=True)
        distinct = rows["value"].unique(maintain_order=True)
        if len(distinct) < 2:
            return
        numbered = dict[tuple[str, ...], int]()

        def place(path: tuple[str, ...]) -> int:
            if path not in numbered:
                higher = self.paths[place(path[:-1])] if path else []
                numbered[path] = len(self.paths)
                self.paths.append([*higher, numbered[path]])
                self.owners.append(len(self.members) + 1)
            return numbered[path]

        places = [place(tuple(STEP.split(value.strip()))) for value in distinct]
        nodes = rows["value"].replace_strict(distinct, places, return_dtype=pl.Int64).to_numpy()
        orders = rows.select(pl.int_range(pl.len()).over("row")).to_series().to_numpy()
        kept = orders < MOST
        members = np.zeros((len(column) + 1, orders[kept].max() + 1), np.int64)
        members[rows["row"].to_numpy()[kept], orders[kept]] = nodes[kept]
        self.members.append(torch.from_numpy(members))
