"""Choosing what a closed form leaves open, on validation events."""

import copy
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import TypeAlias

from lightrec.ranking.item_models.base import ClosedForm, Evidence, NotApplicable, Setting

Judge: TypeAlias = Callable[[ClosedForm], float]
"""From a fitted closed form to a number, higher is better."""


def choose(form: ClosedForm, evidence: Evidence, judge: Judge) -> tuple[ClosedForm, float]:
    """Fit a closed form with each combination of the values that are open, and keep the best.

    What only scoring looks at is varied without fitting anew. Of equals the first stays.

    :param form: not changed.
    :param judge: looks at validation events.
    :returns: a fitted closed form without open settings, and what the judge gave it.
    :raises NotApplicable: where the log is not of a kind for it.
    """
    values = form.values(evidence)
    fitting = {name: tried for name, tried in values.items() if name not in form.SCORING}
    scoring = {name: tried for name, tried in values.items() if name in form.SCORING}
    best: ClosedForm | None = None
    highest = float("-inf")
    for fit in combinations(fitting):
        fitted = _with(form, fit).fit(evidence)
        for score in combinations(scoring):
            candidate = _with(fitted, score)
            value = judge(candidate)
            if best is None or value > highest:
                best, highest = candidate, value
    assert best is not None
    return best, highest


def tries(form: ClosedForm, evidence: Evidence) -> int:
    """Count what :func:`choose` will judge; 0 where the log is not of a kind for the form."""
    try:
        return len(combinations(form.values(evidence)))
    except NotApplicable:
        return 0


def combinations(values: Mapping[str, Sequence[Setting]]) -> list[dict[str, Setting]]:
    """All combinations of the values, as settings; one empty combination where nothing is open."""
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


def _with(form: ClosedForm, settings: Mapping[str, Setting]) -> ClosedForm:
    """A copy with other settings; its tensors are the same ones."""
    changed = copy.copy(form)
    changed._buffers = dict(form._buffers)
    for name, value in settings.items():
        setattr(changed, name, value)
    return changed
