"""The contract of evaluators: flat and finite numbers, twice the same, and a run left alone."""

import hashlib
import math
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from lightrec.evaluation.base import Evaluator
from lightrec.run import Run
from lightrec.testing.chance import seeded
from lightrec.testing.contract import Check, DoesNotApply, checks_of, expect, name_of, run_all

MakeEvaluator = Callable[[], Evaluator]


def evaluator_checks(
    make: MakeEvaluator, run: Path | Callable[[], Path], part: str | None = None
) -> list[Check]:
    """Give the checks of an evaluator.

    :param make: builds a fresh evaluator.
    :param run: a finished run folder, or what gives one when it is needed, such as
        ``lightrec.testing.tiny.tiny_run``.
    :param part: the evaluator's name in ids and messages; by default that of ``make``.
    """
    return checks_of(part or name_of(make), CHECKS, _Evaluations(make, run), around=seeded)


def check_evaluator(make: MakeEvaluator, run: Path) -> None:
    """Run all checks of an evaluator.

    :raises ContractError: that lists all that failed.
    """
    run_all(evaluator_checks(make, run))


class _Evaluations:
    """One evaluation of a run that several checks look at, since it may take long."""

    def __init__(self, make: MakeEvaluator, run: Path | Callable[[], Path]) -> None:
        self.make, self._run = make, run

    @cached_property
    def run(self) -> Path:
        return self._run if isinstance(self._run, Path) else self._run()

    @cached_property
    def first(self) -> Mapping[str, float]:
        return self.again()

    def again(self) -> Mapping[str, float]:
        return self.make().evaluate(Run(self.run), 3).metrics


def keys(evaluations: _Evaluations) -> None:
    """Metrics are a flat dictionary."""
    found = evaluations.first
    bad = [key for key in found if not isinstance(key, str) or not key or " " in key]
    expect(
        isinstance(found, Mapping) and not bad,
        "Metrics are a dictionary with flat keys such as `test/ndcg@10`, without blanks.",
        f"It is a {type(found).__name__} with the keys {bad[:5]}.",
        "Join names with slashes into one string.",
    )


def values(evaluations: _Evaluations) -> None:
    """Metrics are finite numbers."""
    found = evaluations.first
    if not found:
        raise DoesNotApply("It gives no metrics for this run.")
    bad = [
        f"{key} = {value!r}"
        for key, value in found.items()
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)
    ]
    expect(
        not bad,
        "Every metric is a finite number of Python's own types.",
        f"These are not: {', '.join(bad[:5])}.",
        "Turn tensors into numbers with `float`, and leave out what cannot be computed.",
    )


def same_again(evaluations: _Evaluations) -> None:
    """One seed, one result."""
    first, second = evaluations.first, evaluations.again()
    differing = sorted(k for k in {*first, *second} if first.get(k) != second.get(k))
    expect(
        not differing,
        "The same run and seed give the same metrics again.",
        f"These differ: {', '.join(differing[:5])}.",
        "Draw from a generator made of `seed`, and seed nothing else.",
    )


def run_unchanged(evaluations: _Evaluations) -> None:
    """A run is only read."""
    before = _contents(evaluations.run)
    evaluations.again()
    after = _contents(evaluations.run)
    changed = sorted(k for k in {*before, *after} if before.get(k) != after.get(k))
    expect(
        not changed,
        "An evaluator leaves the run folder as it is.",
        f"It changed {', '.join(changed[:5])}.",
        "Read the run, and write nothing into it.",
    )


CHECKS = (keys, values, same_again, run_unchanged)


def _contents(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
