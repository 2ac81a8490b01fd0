"""The last stage: every evaluator of the recipe, then the report; and what is shown before it."""

import json
import math
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lightrec import plugins
from lightrec.blame import blaming, provider
from lightrec.data.files import write_whole
from lightrec.data.sequences import last_events, named_events
from lightrec.errors import LightrecError, PluginError, RunError
from lightrec.evaluation import held_out
from lightrec.evaluation.base import Evaluator, Findings, Section
from lightrec.evaluation.held_out import HeldOutLog
from lightrec.report import page as report
from lightrec.report.summary import WIDTH
from lightrec.run import Run
from lightrec.stages import tensorboard
from lightrec.stages.stage import Stage, function_of

HEADLINE = re.compile(
    r"test/(blend|ranker|policy|popularity)/(ndcg|recall)@10|"
    r"simulator/(policy|blend|popularity)/(accepted|return|length)"
)
"""The metrics by which TensorBoard compares whole runs; ``metrics.json`` holds all."""
EARLY = "early-ranking.json"
"""Note in a run's work: how the held-out log was ranked before there was a policy, with what."""
SHOWN, LAST, LISTED = 3, 3, 5
"""Users, their last items, and what is recommended to each."""


def first_lists(run: Path) -> str:
    """Lists of the blend for users whose histories are of usual lengths, for a terminal."""
    from lightrec.recommend import Recommender  # an update shows no lists

    recommender = Recommender(run, "blend")
    titles, store = recommender.catalog["title"].to_list(), recommender.store
    lengths = np.diff(store.offsets)
    middle = np.argsort(lengths, kind="stable")[len(lengths) // 2 :][:SHOWN]
    lines = ["for example, to three users the blend recommends:"]
    for row in np.sort(middle):
        user = store.user_ids[int(row)]
        history = last_events(recommender.person(user).known, LAST)
        last = named_events(history, titles, store.feedback_kinds)
        recommended = [(title, "") for title in recommender.recommend(user, k=LISTED)["title"]]
        for word, names in ((f"{user}'s last events:", last), ("so perhaps:", recommended)):
            shown = "; ".join(
                textwrap.shorten(name, 30, placeholder="…") + (kind and f" ({kind})")
                for name, kind in names
            )
            lines += textwrap.wrap(
                f"{word} {shown}", WIDTH, initial_indent="  ", subsequent_indent="    "
            )
    return "\n".join(lines)


def early_ranking(stage: Stage) -> str:
    """Rank the held-out log as soon as there is a ranker, by the recipe's own evaluator.

    What was ranked is noted, so that :func:`evaluate` need not rank it again.

    :param stage: the evaluate stage, before it is run.
    :returns: the table for a terminal; empty where the recipe does not rank the held-out log.
    """
    _, chosen = function_of(stage)
    run, tables = Run(stage.run, follow=False), []
    for evaluator in chosen["evaluators"]:
        if type(evaluator) is HeldOutLog:
            metrics = evaluator.without_policy(run, chosen["seed"])
            made_from = _made_from(run, evaluator, chosen["seed"])
            early = run.path / ".work" / EARLY
            early.parent.mkdir(exist_ok=True)
            write_whole(early, json.dumps({"mark": made_from, "metrics": metrics}))
            tables.append(held_out.lines(metrics, run.metrics("ranker")))
    return "\n".join(tables)


def _made_from(run: Run, evaluator: HeldOutLog, seed: int) -> list[object]:
    """Name all that an early ranking is made from."""
    made = [run.stamp(stage)["fingerprint"] for stage in ("data", "ranker")]
    return [*made, evaluator.max_events, evaluator.batch_size, seed]


def evaluate(stage: Stage, evaluators: list[Evaluator], seed: int = 0) -> None:
    """Run every evaluator and write metrics and report.

    :param evaluators: what is computed, in this order; those of the hook ``lightrec_sections``
        follow.
    :param seed: of whatever is drawn.
    :raises PluginError: where an evaluator fails, gives something that is no finite number, or a
        metric that is there already.
    :raises RunError: where a metric of an earlier stage is no finite number.
    """
    run = Run(stage.run, follow=False)
    halves = [name for name in ("users_a", "users_b") if name in stage.inputs]
    if len(halves) == 2:
        run.check_halves()
    stage.prepare_work()
    early = run.path / ".work" / EARLY
    noted = json.loads(early.read_text()) if early.is_file() else {}
    metrics: dict[str, float] = run.metrics("ranker")
    if run.has("text"):
        metrics |= run.metrics("text")
    if "policy" in stage.inputs:
        learned = run.metrics("policy").items()
        metrics |= {key: value for key, value in learned if key.startswith("reward/")}
    for name in halves:
        metrics |= {f"choice/{name[-1]}/{k}": v for k, v in run.metrics(name).items()}
    if bad := _not_finite(metrics):
        raise RunError(
            f"These metrics of earlier stages are not finite numbers: {bad}. This points to a "
            "training that diverged; look at its curves with `tensorboard --logdir`."
        )
    owners = dict.fromkeys(metrics, "an earlier stage")
    findings = []
    joining = [part.made() for part in plugins.installed().parts["sections"].values()]
    for evaluator in [*evaluators, *joining]:
        if type(evaluator) is HeldOutLog and noted.get("mark") == _made_from(run, evaluator, seed):
            evaluator.ranked = noted["metrics"]
        whose = provider(evaluator)
        result = _findings_of(evaluator, run, seed)
        for key in result.metrics:
            if key in owners:
                raise PluginError(
                    f"{whose} gives the metric {key!r}, and {owners[key]} has given one of that "
                    "name already. Call it otherwise, for example with the plugin's name before it."
                )
        owners |= dict.fromkeys(result.metrics, whose)
        metrics |= result.metrics
        findings.append(result)
    made = [name for name in stage.inputs if run.has(name)]
    settings = tensorboard.of_run({name: run.stamp(name) for name in made})
    tensorboard.write_final(
        stage.logs, settings, {k: v for k, v in metrics.items() if HEADLINE.fullmatch(k)}
    )
    with stage.output(seed) as folder:
        report.write(run, folder, metrics, findings, stage.inputs)
    early.unlink(missing_ok=True)


def _findings_of(evaluator: Evaluator, run: Run, seed: int) -> Findings:
    """Ask an evaluator for its findings, which must be findings of finite numbers."""
    whose = provider(evaluator)
    try:
        with blaming(evaluator, "evaluate the run"):
            result = evaluator.evaluate(run, seed)
    except PluginError:
        raise
    except LightrecError as error:
        raise RunError(f"{whose} could not evaluate the run. {error}") from error
    if not (
        isinstance(result, Findings)
        and all(isinstance(key, str) for key in result.metrics)
        and all(isinstance(section, Section) for section in result.sections)
    ):
        raise PluginError(
            f"`evaluate` of {whose} gave {repr(result)[:80]}; expected are Findings, with numbers "
            "by the names of metrics, and Sections of the report."
        )
    if bad := _not_finite(result.metrics):
        raise PluginError(
            f"{whose} gives metrics that are not finite numbers: {bad}. Give Python numbers, and "
            "leave a metric out where it cannot be computed. Where its formula is right, a "
            "training may have diverged; look at the curves with `tensorboard --logdir`."
        )
    return result


def _not_finite(metrics: Mapping[str, object]) -> str:
    """Name at most 20 metrics that are no finite numbers; empty where all are."""
    fine = {k for k, v in metrics.items() if isinstance(v, (int, float)) and math.isfinite(v)}
    return ", ".join(sorted(metrics.keys() - fine)[:20])
