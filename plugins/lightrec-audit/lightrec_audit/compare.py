"""`lightrec compare`: models of one log, or runs, by the same held-out events, tested by user.

Of models, settings are chosen alike. The blend and its ranker are those of the run. Item models are
fitted again, each with the settings that rank the validation events best, as the blend chooses
them, so that their times are known.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from inspect import isabstract
from pathlib import Path
from pkgutil import resolve_name
from time import perf_counter
from typing import Any, Final

import numpy as np
import polars as pl
import scipy
from torch import Tensor

from lightrec import plugins, trust
from lightrec.api import Evidence, ItemModel, Run, Stage, by_history
from lightrec.blame import blaming
from lightrec.cli.command import with_options_of
from lightrec.cli.run import made
from lightrec.data.domain import plain
from lightrec.data.readers.base import read_tables
from lightrec.errors import RecipeError, RunError, did_you_mean
from lightrec.evaluation.base import Bars, Chart, Intervals, Table, number, spread
from lightrec.evaluation.held_out import HeldOutLog, random_scores
from lightrec.evaluation.rankers import ranker_of
from lightrec.evaluation.receipt import COMPARED, receipt
from lightrec.intervals import bootstrap_interval
from lightrec.ranking.blend import RANKER, Blend, names_of
from lightrec.ranking.blending import JUDGED, chosen, validation_events
from lightrec.ranking.metrics import RankingResult
from lightrec.ranking.module import RankingModule
from lightrec.ranking.sequence_data import SequenceData
from lightrec.stages import recipes
from lightrec.stages import run as stages
from lightrec.stages.train import SECONDS, parts_of

BLEND, RANDOM = "blend", "random"
TRAINED: Final = (BLEND, RANKER)
"""Names of models for which the stage `ranker` has to be trained."""
Figures = dict[str, dict[str, float | None]]
Ranked = tuple[dict[str, RankingResult], Figures, list[dict[str, Any]]]
"""How each one ranked, times of each, and the runs' receipts."""


@with_options_of(stages.run, but="out until overrides seed strict fast_dev_run")
@with_options_of(read_tables, but="items users types")
def compare(
    *runs: str,
    models: Sequence[str] = (),
    domain: str | None = None,
    metric: str = "ndcg@10",
    by: str = "blend",
    max_events: int = 20_000,
    seed: int = 0,
    out: Path | None = None,
    **making: Any,
) -> None:
    """Compare models on one log, or runs, by the same held-out events, with paired tests.

    examples:
      lightrec compare --log shop.csv --goal order --models blend,ease,als,popularity
      lightrec compare --log my.csv --items my_items.csv --out models.csv
      lightrec compare --log my.csv --models blend,ease,my_models:Seasonal
      lightrec compare runs/video --models blend,item-knn,random
      lightrec compare runs/video runs/video-large
      lightrec compare runs/a runs/b runs/c --metric recall@10 --by ranker

    Models: data and, for blend and ranker, the ranker are made as by `lightrec run`, in the folder
    that is named or in runs/compare. Settings are chosen on the validation events alone, those of
    every item model in the same way; then all rank the same test events. With the times: seconds
    of choosing settings and fitting, milliseconds of a whole list.

    Runs must have the same log, the same split and the same protocol: else the command says where
    their receipts differ, and compares nothing.

    Differences are taken from the first one, user by user: with a 95 % interval (2,000 bootstrap
    samples of users) and Wilcoxon's signed-rank test, corrected for the number of comparisons as
    Holm (1979) does.

    :param models: separated by commas: blend, ranker (its transformer alone), random, item models
        by their names, plugins' and your own (module:Class) included (default: all of the recipe).
    :param metric: ndcg@k, recall@k or mrr@k.
    :param by: what of several runs ranks: blend, ranker, policy, or another as in `lightrec
        recommend`.
    :param max_events: at most so many test events, drawn by the seed.
    :param seed: of that draw, of the bootstrap and, with --log, of all stages.
    :param out: a .json file for figures and receipts, or a .csv file for figures; the picture
        lies beside it as .png.
    """
    name, _, cutoff = metric.partition("@")
    if name not in ("ndcg", "recall", "mrr") or not cutoff.isdigit() or int(cutoff) < 1:
        raise RecipeError(f"--metric is ndcg@k, recall@k or mrr@k, such as ndcg@10; not {metric}.")
    if out is not None and out.suffix not in (".json", ".csv"):
        raise RecipeError(f"--out must end in .json or .csv, not {out.name}.")
    words = [word for each in models for word in each.split(",") if word]
    start = next((n for n, word in enumerate(runs) if word.startswith("--")), len(runs))
    paths, settings = [*map(Path, runs[:start])], runs[start:]
    if domain or making["log"] or making["offline"]:
        if len(paths) > 1:
            raise RecipeError("With a log, name one folder at most: that of the run to be made.")
        making |= {"out": (paths or [Path("runs", "compare")])[0], "seed": seed or None}
        stage = _made(domain or "generic", settings, making, words)
        ranked = rank_models(stage, nullcontext(), words, max_events, seed)
    elif settings:
        raise RecipeError(f"{settings[0]} needs a log: name it with --log. See --help.")
    elif len(paths) == 1:
        run = Run(paths[0])
        recipe, overrides = run.stamp(RANKER)["recipe"], run.overrides(RANKER)
        stage = Stage(RANKER, recipe, run.folder(RANKER), overrides)
        ranked = rank_models(stage, trust.gate(), words, max_events, seed)
    elif words or not paths:
        raise RecipeError(
            "Name a log with --log or one run folder, whose models are compared, or several runs."
        )
    else:
        ranked = rank_runs(paths, by, max_events, seed)
    results, times, receipts = ranked
    table, figures, drawn = compared(results, metric, seed, times)
    log, split = receipts[0]["log"], receipts[0]["split"]
    print(table.markdown())
    print(
        f"\n{split['test events']:,} test events of {log['users']:,} users, ranked among those of "
        f"{log['items']:,} items that may be shown; log {str(log['hash'])[:8]}, "
        f"split {str(split['hash'])[:8]}."
    )
    if out is None:
        return
    if out.suffix == ".csv":
        pl.DataFrame([{"name": name, **row} for name, row in figures.items()]).write_csv(out)
    else:
        content = {"metric": metric, "by": by, "figures": figures, "receipts": receipts}
        out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    from lightrec.report import charts

    picture = out.with_suffix(".png")
    charts.draw(drawn).savefig(picture, dpi=110, metadata={"Software": None})
    print(f"{out}, {picture}")


def _made(
    domain: str, settings: Sequence[str], making: dict[str, Any], words: Sequence[str]
) -> Stage:
    """Make the run of a log as far as the models need it, up to its ranker's stage."""
    kinds = find_models(words)  # before anything is made
    recipe_set = stages.find_recipes(domain, until=RANKER)[1]
    trained = not kinds or {*TRAINED} & {*kinds}
    making["until"] = RANKER if trained else recipes.until(recipe_set.recipes, RANKER)[-2]
    where, _, overrides = made(domain, settings, making)
    return Stage(RANKER, recipe_set.resolved(RANKER), where / RANKER, overrides.get(RANKER, ()))


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
    place = users.unique(return_inverse=True)[1]
    return place.bincount(values.double()) / place.bincount()


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
