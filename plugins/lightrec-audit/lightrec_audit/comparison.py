"""Models and runs beside each other: the same held-out events ranked, with paired tests by user.

Of models, settings are chosen alike. The blend and its ranker are those of the run. Item models are
fitted anew, each with the settings that rank the validation events best, as the blend chooses them,
so that their times are known.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from inspect import isabstract
from pathlib import Path
from pkgutil import resolve_name
from time import perf_counter
from typing import Any, Final

import numpy as np
import scipy
import torch
from torch import Tensor

from lightrec import plugins
from lightrec.blame import blaming
from lightrec.errors import RecipeError, RunError, did_you_mean
from lightrec.evaluation.base import Bars, Chart, Intervals, Table, number, spread
from lightrec.evaluation.held_out import HeldOutLog, random_scores
from lightrec.evaluation.rankers import ranker_of
from lightrec.evaluation.receipt import COMPARED, receipt
from lightrec.intervals import bootstrap_interval
from lightrec.ranking.blend import RANKER, Blend, names_of
from lightrec.ranking.blending import JUDGED, chosen, validation_events
from lightrec.ranking.item_models.base import Evidence, ItemModel
from lightrec.ranking.metrics import RankingResult
from lightrec.ranking.module import RankingModule
from lightrec.ranking.scorers import by_history
from lightrec.ranking.sequence_data import SequenceData
from lightrec.run import Run
from lightrec.stages.stage import Stage
from lightrec.stages.train import SECONDS, parts_of

BLEND, RANDOM = "blend", "random"
TRAINED: Final = (BLEND, RANKER)
"""Names of models for which the stage `ranker` has to be trained."""
Figures = dict[str, dict[str, float | None]]
Ranked = tuple[dict[str, RankingResult], Figures, list[dict[str, Any]]]
"""How each one ranked, times of each, and the runs' receipts."""


def find_models(words: Sequence[str]) -> dict[str, type[ItemModel] | None]:
    """Find models by name: ``blend``, its transformer as ``ranker``, ``random``, and item models.

    An item model goes by its short name in any case, with dashes or without, or by the path of a
    class of your own, such as ``my_models:Seasonal``.

    :returns: classes by name; None for what is no item model.
    :raises RecipeError: where a name is not known; all that are known are listed.
    """
    models: dict[str, type[ItemModel] | None] = {}
    for word in words:
        if plain(word) in (*TRAINED, RANDOM):
            models[plain(word)] = None
        else:
            kind = _class_of(word)
            models[kind.__name__] = kind
    return models


def plain(name: str) -> str:
    """Write a name without case, dashes and underscores."""
    return name.lower().replace("-", "").replace("_", "")


def _class_of(word: str) -> type[ItemModel]:
    parts = plugins.installed().parts["components"]
    fitting = [part for name, part in parts.items() if plain(name) == plain(word)]
    kind = fitting[0].load() if fitting else None
    if kind is None and {*".:"} & {*word}:
        try:
            kind = resolve_name(word)
        except Exception as error:
            raise RecipeError(
                f"The model {word} cannot be imported: {error}. PYTHONPATH must name its folder."
            ) from error
    if isinstance(kind, type) and issubclass(kind, ItemModel):
        return kind
    plugins.installed().load_all()
    kinds = {kind.__name__ for kind in plugins.subclasses(ItemModel) if not isabstract(kind)}
    names = [*TRAINED, RANDOM, *sorted(kinds)]
    raise RecipeError(
        f"There is no model {word!r}.{did_you_mean(word, names)} Known are: {', '.join(names)}. A "
        "model of your own is a subclass of ItemModel, named as my_module:MyModel or given by a "
        "plugin; scores of another program are judged by `lightrec evaluate --predictions`."
    )


def rank_models(
    stage: Stage,
    reading: AbstractContextManager[None],
    words: Sequence[str],
    max_events: int,
    seed: int,
) -> Ranked:
    """Fit models, and rank a run's test events by each; what a log is not for is left out.

    :param stage: of the run's ranker, whose item models have the settings of its recipe.
    :param reading: in which the recipe is read.
    :param words: for :func:`find_models`; empty for all models that the run has.
    :raises RecipeError: where the stage has no item models.
    :raises RunError: where nothing is left.
    """
    with reading:
        module, data = parts_of(stage)
    if not (isinstance(module, RankingModule) and isinstance(data, SequenceData)):
        raise RecipeError(f"The ranker of {stage.run} is no RankingModule: it has no item models.")
    run, path = Run(stage.run, follow=False), stage.out / SECONDS
    seconds = json.loads(path.read_text()) if path.is_file() else {}
    evidence = Evidence.of(data.store, data.vectors)
    judged, protocol = validation_events(data, JUDGED), HeldOutLog(max_events)
    kinds, of_recipe = find_models(words), names_of(module.item_models or [])
    models = {} if kinds else of_recipe
    for name, kind in kinds.items():
        if kind is not None:
            with blaming(kind, "be made without settings"):
                models[name] = of_recipe.get(name) or kind()
    results, times = {}, {}
    for name in kinds or (*TRAINED, *of_recipe, RANDOM):
        begin, fitting = perf_counter(), None
        if name in models:
            with blaming(models[name], "be fitted to the log"):
                fitted = chosen({name: models[name]}, evidence, judged)
            if name not in fitted:
                continue
            scorer, fitting = by_history(fitted[name]), perf_counter() - begin
        elif name == RANDOM:
            scorer, fitting = random_scores(run.data.num_items, seed), 0.0
        else:
            scorer = by_history(run.blend if name == BLEND else Blend(run.ranker))
            fitting = seconds.get("stage" if name == BLEND else "training")
        begin = perf_counter()
        results[name] = protocol.rank(run.data, scorer, seed)
        spent = 1000 * (perf_counter() - begin) / max(len(results[name].ranks), 1)
        times[name] = {"fitted in s": fitting, "ms a list": spent}
    if not results:
        raise RunError("None of the models can be fitted to this log.")
    return results, times, [receipt(run)]


def rank_runs(paths: Sequence[Path], by: str, max_events: int, seed: int) -> Ranked:
    """Rank the test events of several runs of one log.

    They are named by users and items of the log and not by a run's own numbers.

    :param by: a value of ``--by``.
    :raises RecipeError: where a run is named twice.
    :raises RunError: where a run has no such part, or receipts say that it is not the same log.
    """
    if len({*paths}) < len(paths):
        raise RecipeError("A run is named twice: name each of them once.")
    runs = [Run(path) for path in paths]
    receipts = [receipt(run) for run in runs]
    for path, other in zip(paths[1:], receipts[1:], strict=True):
        begin = f"{paths[0]} and {path} cannot be compared. They differ in"
        if unlike := differences(receipts[0], other):
            raise RunError([f"{begin} {each}." for each in unlike])
    results: dict[str, RankingResult] = {}
    for path, run in zip(paths, runs, strict=True):
        print(f"ranking the held-out events by {path}", file=sys.stderr)
        scorer = by_history(ranker_of(run.judged, by).scorer)
        results[str(path)] = HeldOutLog(max_events).rank(run.data, scorer, seed)
    return results, {}, receipts


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Say in words where two receipts differ in what must be the same; empty where nowhere."""
    return [
        f"{part}, {name}: {one[part].get(name)} and {other[part].get(name)}"
        for part in COMPARED
        for name in {**one[part], **other[part]}
        if one[part].get(name) != other[part].get(name)
    ]


def compared(
    results: Mapping[str, RankingResult],
    metric: str,
    seed: int = 0,
    more: Mapping[str, Mapping[str, float | None]] | None = None,
) -> tuple[Table, Figures, list[Chart]]:
    """Compare rankings with the first one, user by user.

    :param more: further figures of each, by name and title, such as seconds.
    :returns: a table, the best first; by name the mean with its interval, its difference with
        interval, and p as it is and after Holm's correction; and charts of both.
    :raises RunError: where the rankings are not of the same events.
    """
    cutoff = [int(metric.partition("@")[2])]
    (base, first), *others = results.items()
    means, gaps, p = {}, {}, {}
    for name, result in results.items():
        values = result.per_event(cutoff)[metric]
        means[name] = bootstrap_interval(values, result.users, seed=seed)
    for name, result in others:
        try:
            gaps[name] = result.bootstrap(first, metric, seed=seed)
        except ValueError as reason:
            raise RunError(f"{base} and {name} cannot be compared. {reason}") from None
        p[name] = signed_ranks(by_user(result.paired(first, metric), result.users))
    corrected = dict(zip(p, holm([*p.values()]), strict=True))
    figures: Figures = {}
    rows = {}
    for name, (mean, low, high) in means.items():
        figures[name] = {"mean": mean, "mean_low": low, "mean_high": high}
        row = rows[name] = [name, spread(means[name], ".4f"), *[""] * 3]
        if name in gaps:
            figures[name] |= dict(zip(("difference", "low", "high"), gaps[name], strict=True))
            figures[name] |= {"p": p[name], "p_holm": corrected[name]}
            row[2:] = [spread(gaps[name], "+.4f"), f"{p[name]:.3g}", f"{corrected[name]:.3g}"]
        further = (more or {}).get(name, {})
        figures[name] |= further
        row += map(number, further.values())
    less = base[-30:]  # what fits into a picture of a path
    head = ["", f"{metric} (95 %)", f"less {less} (95 %)", "p (Wilcoxon)", "p (Holm)"]
    head += (more or {}).get(base, {})
    table = Table(head, sorted(rows.values(), key=lambda row: -means[row[0]].mean))
    drawn: list[Chart] = [Bars({name[-30:]: m.mean for name, m in means.items()}, metric, less)]
    if gaps:
        ordered = {row[0][-30:]: gaps[row[0]] for row in table.rows if row[0] in gaps}
        drawn.append(Intervals(ordered, f"{metric}, less that of {less} (95 %)"))
    return table, figures, drawn


def by_user(values: Tensor, users: Tensor) -> Tensor:
    """The mean of each user's values: (U,) float64."""
    owners, place = users.unique(return_inverse=True)
    sums = torch.zeros(len(owners), dtype=torch.float64).index_add_(0, place, values.double())
    return sums / place.bincount()


def signed_ranks(differences: Tensor) -> float:
    """Wilcoxon's two-sided p of differences being even about 0; 1 where all are 0."""
    if not differences.any():
        return 1.0
    return float(scipy.stats.wilcoxon(differences.numpy(), zero_method="pratt").pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Correct p values for their number (Holm 1979): the smallest times m, the next m - 1, …"""
    order = np.argsort(values)
    corrected = np.array(values)[order] * np.arange(len(values), 0, -1)
    return np.maximum.accumulate(corrected.clip(max=1))[order.argsort()].tolist()
