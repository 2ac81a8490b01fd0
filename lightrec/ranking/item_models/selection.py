"""Choosing what an item model leaves open, on validation events."""

import copy
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import TypeAlias

from lightrec.ranking.item_models.base import Evidence, ItemModel, NotApplicable, Setting

Judge: TypeAlias = Callable[[ItemModel], float]
"""From a fitted item model to a number, higher is better."""


def choose(model: ItemModel, evidence: Evidence, judge: Judge) -> tuple[ItemModel, float]:
    """Fit an item model with each combination of the values that are open, and keep the best.

    What only scoring looks at is varied without fitting anew. Of equals the first stays.

    :param model: not changed.
    :param judge: looks at validation events.
    :returns: a fitted item model without open settings, and what the judge gave it.
    :raises NotApplicable: where the log is not of a kind for it.
    """
    values = model.values(evidence)
    fitting = {name: tried for name, tried in values.items() if name not in model.SCORING}
    scoring = {name: tried for name, tried in values.items() if name in model.SCORING}
    best: ItemModel | None = None
    highest = float("-inf")
    for fit in combinations(fitting):
        fitted = _with(model, fit).fit(evidence)
        for score in combinations(scoring):
            candidate = _with(fitted, score)
            value = judge(candidate)
            if best is None or value > highest:
                best, highest = candidate, value
    assert best is not None
    return best, highest


def tries(model: ItemModel, evidence: Evidence) -> int:
    """Count what :func:`choose` will judge; 0 where the log is not of a kind for the model."""
    try:
        return len(combinations(model.values(evidence)))
    except NotApplicable:
        return 0


def combinations(values: Mapping[str, Sequence[Setting]]) -> list[dict[str, Setting]]:
    """All combinations of the values, as settings; one empty combination where nothing is open."""
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


def _with(model: ItemModel, settings: Mapping[str, Setting]) -> ItemModel:
    """A copy with other settings; its tensors are the same ones."""
    changed = copy.copy(model)
    changed._buffers = dict(model._buffers)
    for name, value in settings.items():
        setattr(changed, name, value)
    return changed
