"""The last stage: every evaluator of the recipe, then the report."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from lightrec import plugins
from lightrec.errors import LightrecError, PluginError, RunError
from lightrec.evaluation.base import Evaluator
from lightrec.evaluation.held_out import HeldOutLog
from lightrec.report import page as report
from lightrec.run import Run
from lightrec.stages.functions import settings
from lightrec.stages.stage import Stage


def evaluate(evaluators: list[Evaluator], seed: int = 0) -> tuple[list[Evaluator], int]:
    """Take the settings of the stage.

    :param evaluators: what is computed, in this order.
    :param seed: of whatever is drawn.
    """
    return evaluators, seed


def early_ranking(stage: Stage) -> str:
    """Rank the held-out log as soon as there is a ranker, by the recipe's own evaluator.

    :param stage: the evaluate stage, before it is run.
    :returns: the table for a terminal; empty where the recipe does not rank the held-out log.
    """
    evaluators, seed = evaluate(**settings(stage, evaluate))
    lines: list[str] = []
    for evaluator in evaluators:
        if type(evaluator) is HeldOutLog:
            lines += report.ranking_lines(evaluator.evaluate(stage.run, stage.work, seed))
    return "\n".join(lines)


def evaluate_stage(stage: Stage) -> None:
    """Run every evaluator and write metrics and report.

    :raises PluginError: where an evaluator fails, gives something that is no finite number, or a
        metric that is there already.
    :raises RunError: where a metric of an earlier stage is no finite number.
    """
    for sentence in plugins.installed().load_all(["evaluators"]):
        plugins.warn(sentence)
    evaluators, seed = evaluate(**settings(stage, evaluate))
    run = stage.run
    Run(run).check_halves()
    stage.prepare_work()
    metrics: dict[str, float] = json.loads((run / "ranker" / "metrics.json").read_text())
    for name in ("users_a", "users_b"):
        own = json.loads((run / name / "metrics.json").read_text())
        metrics |= {f"choice/{name[-1]}/{k}": v for k, v in own.items()}
    bad = _not_finite(metrics)
    if bad:
        raise RunError(
            f"These metrics of earlier stages are not finite numbers: {bad}. This points to a "
            "training that diverged; look at its curves with `tensorboard --logdir`."
        )
    owners = dict.fromkeys(metrics, "an earlier stage")
    for evaluator in evaluators:
        whose = plugins.provider(evaluator)
        found = _found_by(evaluator, run, stage.work, seed)
        for key in found:
            if key in owners:
                raise PluginError(
                    f"{whose} gives the metric {key!r}, and {owners[key]} has given one of that "
                    "name already. Call it otherwise, for example with the plugin's name before it."
                )
        owners |= dict.fromkeys(found, whose)
        metrics |= found
    with SummaryWriter(str(stage.logs)) as writer:
        for key, value in metrics.items():
            writer.add_scalar(key, value)
    with stage.output(seed) as folder:
        report.write(run, folder, metrics, stage.inputs())


def _found_by(evaluator: Evaluator, run: Path, work: Path, seed: int) -> dict[str, float]:
    """Ask an evaluator for its metrics.

    :raises PluginError: where it fails, or gives something else than finite numbers by name.
    """
    whose = plugins.provider(evaluator)
    try:
        with plugins.blaming(evaluator, "evaluate the run"):
            found = evaluator.evaluate(run, work, seed)
    except PluginError:
        raise
    except LightrecError as error:
        raise RunError(f"{whose} could not evaluate the run. {error}") from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise PluginError(
            f"`evaluate` of {whose} gave {repr(found)[:80]}; expected is a dictionary of numbers "
            "by the names of metrics."
        )
    bad = _not_finite(found)
    if bad:
        raise PluginError(
            f"{whose} gives metrics that are not finite numbers: {bad}. Give Python numbers, and "
            "leave a metric out where it cannot be computed. Where its formula is right, a "
            "training may have diverged; look at the curves with `tensorboard --logdir`."
        )
    return found


def _not_finite(metrics: Mapping[str, object]) -> str:
    """Name at most 20 metrics that are no finite numbers; empty where all are."""
    fine = {k for k, v in metrics.items() if isinstance(v, (int, float)) and math.isfinite(v)}
    return ", ".join(sorted(metrics.keys() - fine)[:20])
