"""What `lightrec tune` leaves: the best recipe, a table of the best trials and pictures."""

import warnings
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import optuna
from matplotlib import pyplot
from optuna.trial import TrialState

from lightrec.evaluation.base import Table
from lightrec.stages.stage import write_whole
from lightrec.stages.train import ParsedRecipe
from lightrec.stages.tune import Search, settings, short, shown

BEST, HISTORY, SLICES, IMPORTANCES = "best.yaml", "history.png", "settings.png", "importances.png"
ROWS = 10
"""How many trials the table shows."""
ENOUGH = 10
"""Trials from which on it is said how much each setting matters."""
STATES = {
    TrialState.COMPLETE: "trained to the end",
    TrialState.PRUNED: "given up early",
    TrialState.FAIL: "failed",
}


def write(search: Search) -> None:
    """Write the best recipe and Optuna's pictures into the search's folder."""
    best = search.best
    if best is None:
        return
    recipe = ParsedRecipe(search.stage, settings(best.params))
    write_whole(
        search.out / BEST,
        f"# The {search.stage.name} stage with the best settings of {len(search.finished)} trials: "
        f"{search.monitor} {best.value:.4f}.\n"
        f"#   lightrec fit -c {Path(search.out, BEST).as_posix()}\n"
        f"reads: [{', '.join(search.stage.inputs)}]\n{recipe.text()}",
    )
    plots = optuna.visualization.matplotlib
    # Optuna calls its pictures experimental, and sets the style of all that is drawn after them.
    with warnings.catch_warnings(), matplotlib.rc_context({"backend": "agg"}):
        warnings.simplefilter("ignore")
        drawn: dict[str, Any] = {
            HISTORY: plots.plot_optimization_history(search.study, target_name=search.monitor),
            SLICES: plots.plot_slice(search.study, target_name=search.monitor),
        }
        if importances(search):
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            drawn[IMPORTANCES] = plots.plot_param_importances(search.study, evaluator)
        for name, axes in drawn.items():
            figure = np.ravel(axes)[0].figure
            figure.savefig(search.out / name, dpi=150, bbox_inches="tight")
            pyplot.close(figure)


def table(search: Search) -> str:
    """Set the best trials as a table that fits a terminal."""
    names = list(search.space)
    rows = [
        [str(t.number + 1), f"{t.value:.4f}", *(shown(t.params[name]) for name in names)]
        for t in search.complete[:ROWS]
    ]
    states = [trial.state for trial in search.finished]
    counts = [f"{states.count(s)} {words}" for s, words in STATES.items() if s in states]
    lines = [Table(["trial", search.monitor, *map(short, names)], rows).text(), ""]
    lines.append(f"{len(states)} trials: {', '.join(counts)}.")
    if weights := importances(search):
        shares = ", ".join(f"{short(name)} {share:.0%}" for name, share in weights.items())
        lines.append(f"What the value depends on: {shares}.")
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
