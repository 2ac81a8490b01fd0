"""The last stage: every evaluator of the recipe, then the report."""

import json
import math

from torch.utils.tensorboard import SummaryWriter

from lightrec import plugins
from lightrec.errors import RunError
from lightrec.evaluation.base import Evaluator
from lightrec.modules.halves import check_halves
from lightrec.pipeline import report
from lightrec.pipeline.functions import settings
from lightrec.pipeline.stage import Stage


def evaluate(evaluators: list[Evaluator], seed: int = 0) -> tuple[list[Evaluator], int]:
    """Take the settings of the stage.

    :param evaluators: what is computed, in this order.
    :param seed: of whatever is drawn.
    """
    return evaluators, seed


def evaluate_stage(stage: Stage) -> None:
    """Run every evaluator and write metrics and report.

    :raises RunError: where an evaluator gives something that is no finite number.
    """
    for sentence in plugins.installed().load_all(["evaluators"]):
        plugins.warn(sentence)
    evaluators, seed = evaluate(**settings(stage, evaluate))
    run = stage.run
    check_halves(run)
    stage.prepare_work()
    metrics: dict[str, float] = json.loads((run / "encoder" / "metrics.json").read_text())
    for name in ("reward", "judge"):
        own = json.loads((run / name / "metrics.json").read_text())
        metrics |= {f"choice/{'a' if name == 'reward' else 'b'}/{k}": v for k, v in own.items()}
    for evaluator in evaluators:
        metrics |= evaluator.evaluate(run, stage.work, seed)
    bad = sorted(key for key, value in metrics.items() if not math.isfinite(value))
    if bad:
        raise RunError(
            f"These metrics are not finite numbers: {', '.join(bad[:20])}. This points to a "
            "training that diverged; look at its curves with `tensorboard --logdir`."
        )
    with SummaryWriter(str(stage.logs)) as writer:
        for key, value in metrics.items():
            writer.add_scalar(key, value)
    with stage.output(seed) as folder:
        report.write(run, folder, metrics)
