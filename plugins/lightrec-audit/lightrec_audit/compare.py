"""`lightrec compare`: models of one log, or runs, by the same held-out events."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import polars as pl

from lightrec import trust
from lightrec.cli.command import with_options_of
from lightrec.cli.run import made
from lightrec.data.readers.base import read_tables
from lightrec.errors import RecipeError
from lightrec.ranking.blend import RANKER
from lightrec.run import Run
from lightrec.stages import recipes
from lightrec.stages import run as stages
from lightrec.stages.stage import Stage
from lightrec_audit.comparison import TRAINED, compared, find_models, rank_models, rank_runs


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

    :param models: parted by commas: blend, ranker (its transformer alone), random, item models by
        their names, plugins' and your own (module:Class) included (default: all of the recipe).
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
        f"\n{split['test events']:,} test events of {log['users']:,} users, all {log['items']:,} "
        f"items ranked; log {str(log['hash'])[:8]}, split {str(split['hash'])[:8]}."
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
