"""What `lightrec tune` leaves: the best recipe, a table of the best trials and a picture."""

import os
import warnings
from pathlib import Path

import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState

from lightrec.evaluation.sections import Bars
from lightrec.report.charts import OTHER, OWN, bars
from lightrec.stages.space import Choices, Range
from lightrec.stages.train import ParsedRecipe, arguments
from lightrec.stages.tune import Search, settings, short, shown

BEST, PICTURE = "best.yaml", "trials.png"
ROWS = 10
"""How many trials the table shows."""
ENOUGH = 10
"""Trials from which on it is said how much each setting matters."""


def write(search: Search) -> None:
    """Write ``best.yaml`` and ``trials.png`` into the search's folder, each by one rename."""
    if search.best is None:
        return
    for name, content in ((BEST, best_recipe(search).encode()), (PICTURE, None)):
        partial = search.out / f".partial.{name}"
        if content is None:
            picture(search).savefig(partial, dpi=150)
        else:
            partial.write_bytes(content)
        os.replace(partial, search.out / name)


def best_recipe(search: Search) -> str:
    """Give the recipe with the best trial's settings and every other setting that there is.

    :raises RuntimeError: where no trial is complete.
    """
    best = search.best
    if best is None:
        raise RuntimeError("The search has no complete trial.")
    recipe = ParsedRecipe([*arguments(search.stage), *settings(best.params)])
    count = len(search.finished)
    return (
        f"# The {search.stage.name} stage with the best settings of {count} trials: "
        f"{search.monitor} {best.value:.4f}.\n"
        f"#   lightrec fit -c {Path(search.out, BEST).as_posix()}\n"
        f"reads: [{', '.join(search.stage.inputs)}]\n{recipe.text()}"
    )


def table(search: Search) -> str:
    """Set the best trials as a table that fits a terminal."""
    names = list(search.space)
    head = ["trial", search.monitor, *map(short, names)]
    rows = [
        [str(t.number + 1), f"{t.value:.4f}", *(shown(t.params[name]) for name in names)]
        for t in search.complete[:ROWS]
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in (head, *rows)
    ]
    states = [trial.state for trial in search.finished]
    counts = [
        f"{states.count(state)} {words}"
        for state, words in (
            (TrialState.COMPLETE, "trained to the end"),
            (TrialState.PRUNED, "given up early"),
            (TrialState.FAIL, "failed"),
        )
        if state in states
    ]
    lines += ["", f"{len(states)} trials: {', '.join(counts)}."]
    weights = importances(search)
    if weights:
        told = ", ".join(f"{short(name)} {share:.0%}" for name, share in weights.items())
        lines.append(f"What the value depends on: {told}.")
    return "\n".join(lines) + "\n"


def importances(search: Search) -> dict[str, float]:
    """Say how much each setting matters for a trial to be among the best, adding up to 1.

    PED-ANOVA (Watanabe et al. 2023) over the complete trials; empty where they are few.
    """
    if len(search.complete) < ENOUGH:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        try:
            return optuna.importance.get_param_importances(search.study, evaluator=evaluator)
        except (ValueError, RuntimeError):
            return {}  # as where all values are equal


def picture(search: Search) -> Figure:
    """Draw the values in the trials' order, each setting against the value, and what matters."""
    weights = importances(search)
    panels = 1 + len(search.space) + bool(weights)
    columns = min(panels, 3)
    rows = -(-panels // columns)
    drawn = Figure(figsize=(3.4 * columns, 2.6 * rows))
    axes = list(drawn.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[panels:]:
        unused.remove()
    _history(axes[0], search)
    for panel, (name, given) in zip(axes[1:], search.space.items(), strict=False):
        _setting(panel, search.complete, name, given)
    if weights:
        bars(axes[panels - 1], Bars({short(n): w for n, w in weights.items()}, "what matters"))
    return drawn


def _history(axes: Axes, search: Search) -> None:
    ended = [t for t in search.finished if t.value is not None]
    given_up = [t for t in ended if t.state is TrialState.PRUNED]
    axes.plot(*_points(given_up), "x", color=OTHER, ms=4, label="given up")
    numbers, values = _points([t for t in ended if t.state is TrialState.COMPLETE])
    axes.plot(numbers, values, "o", color=OWN, ms=3)
    best = max if search.mode == "max" else min
    so_far = [best(values[: place + 1]) for place in range(len(values))]
    axes.step(numbers, so_far, where="post", color=OWN, lw=1, label="best so far")
    axes.set_xlabel("trial")
    axes.set_ylabel(search.monitor)
    axes.legend(fontsize=7, frameon=False)


def _points(trials: list[FrozenTrial]) -> tuple[list[int], list[float]]:
    ordered = sorted(trials, key=lambda trial: trial.number)
    return [t.number + 1 for t in ordered], [t.value or 0.0 for t in ordered]


def _setting(axes: Axes, trials: list[FrozenTrial], name: str, given: Range | Choices) -> None:
    values = [trial.value or 0.0 for trial in trials]
    places = [trial.params[name] for trial in trials]
    if isinstance(given, Choices):
        places = [given.texts.index(place) for place in places]
        axes.set_xticks(range(len(given.texts)), [shown(choice) for choice in given.texts])
        axes.set_xlim(-0.5, len(given.texts) - 0.5)
    elif given.log:
        axes.set_xscale("log")
        ticks = [given.low, (given.low * given.high) ** 0.5, given.high]
        axes.set_xticks(ticks, [shown(float(tick)) for tick in ticks])
        axes.set_xticks([], minor=True)
    axes.plot(places, values, "o", color=OTHER, ms=3)
    axes.plot(places[:1], values[:1], "o", color=OWN, ms=5)
    axes.set_xlabel(short(name))
