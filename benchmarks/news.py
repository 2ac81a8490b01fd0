"""Which of the articles shown is clicked, by what their clicks so far say: `make bench NAME=news`.

The sample of MIND in the folder that ``--data`` or LIGHTREC_TEST_DATA names: its last day is ranked
impression by impression, as in MIND's own task, and the day before it chooses the half-life. There
is no text for 97 % of what is shown, so that nothing here reads any. The seed orders equal scores,
and draws the users of the intervals.
"""

import itertools
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import torch
from lightrec_news.readers import MindReader

from benchmarks.cells import Benchmark, data_folder, markdown
from lightrec.intervals import bootstrap_interval

SEEDS = (3, 4, 5)
SCORERS = {
    "random": "chance",
    "newest": "newest first",
    "clicks": "clicks so far",
    "rate": "click rate so far",
    "recent": "click rate of late",
    "oldest": "oldest first",
}
HALF_LIVES = (1, 3, 6, 12, 24, 48)
"""In hours."""
VALIDATION, TEST = (datetime(2019, 11, day, tzinfo=UTC) for day in (13, 14))
AGES = (0, 1, 3, 6, 12, 24, 48, 72, 144)
"""Bounds of the groups of ages, in hours since an article was first shown."""
PRIOR = 20.0
"""Showings at the mean click rate that every article begins with."""


def shown(folder: Path) -> pl.DataFrame:
    """Give a row for each article of each impression, in the order of time."""
    log = MindReader().read_log(folder).events.drop_nulls("impression")
    rows = log.group_by("impression", maintain_order=True).agg(
        pl.col("user", "time", "candidates").first(), clicked="item"
    )
    rows = rows.sort("time").explode("candidates").rename({"candidates": "article"})
    first = pl.col("time").min().over("article")
    return rows.with_columns(
        hours=(pl.col("time") - first).dt.total_seconds() / 3600,
        at=(pl.col("time") - pl.col("time").min()).dt.total_seconds() / 3600,
        click=pl.col("article").is_in("clicked").cast(pl.Float64),
    )


def decayed(rows: pl.DataFrame, half_life: float) -> pl.DataFrame:
    """Give clicks and showings of each article before each row, halved every half-life."""
    grown = 2 ** (pl.col("at") / half_life)
    before = {
        name: (((value * grown).cum_sum() - value * grown) / grown).over("article")
        for name, value in {"clicks": pl.col("click"), "showings": pl.lit(1.0)}.items()
    }
    return rows.select(**before)


def scores(rows: pl.DataFrame, half_life: float) -> dict[str, np.ndarray]:
    """Score every row by what was known before it."""
    mean = rows["click"].mean()
    whole, late = decayed(rows, 1e6), decayed(rows, half_life)
    rates = [
        ((table["clicks"] + PRIOR * mean) / (table["showings"] + PRIOR)).to_numpy()
        for table in (whole, late)
    ]
    hours = rows["hours"].to_numpy()
    found = {"random": np.zeros(len(rows)), "newest": -hours, "oldest": hours}
    found["clicks"] = whole["clicks"].to_numpy()
    return found | dict(zip(("rate", "recent"), rates, strict=True))


def by_impression(rows: pl.DataFrame, score: np.ndarray, seed: int) -> pl.DataFrame:
    """Give AUC, MRR and NDCG@10 of each impression, with its user; equal scores are drawn."""
    noise = np.random.default_rng(seed).random(len(rows))
    order = pl.struct(pl.col("score"), pl.col("noise")).rank(descending=True)
    ranked = rows.select("impression", "user", "click").with_columns(
        score=pl.Series(score), noise=pl.Series(noise)
    )
    ranked = ranked.with_columns(rank=order.over("impression"))
    gain = 1 / (pl.col("rank") + 1).log(2)
    ideal = (1 / (pl.int_range(1, pl.len() + 1) + 1).log(2)).head(
        pl.min_horizontal(pl.col("click").sum(), 10).cast(pl.Int64)
    )
    clicks, others = pl.col("click").sum(), (1 - pl.col("click")).sum()
    above = (pl.col("rank") * pl.col("click")).sum() - clicks * (clicks + 1) / 2
    found = ranked.group_by("impression", maintain_order=True).agg(
        pl.col("user").first(),
        auc=1 - above / (clicks * others),
        mrr=(pl.col("click") / pl.col("rank")).sum() / clicks,
        ndcg=(gain * pl.col("click") * (pl.col("rank") <= 10)).sum() / ideal.sum(),
    )
    return found.filter(pl.col("auc").is_finite())


def measure(out: Path, folder: Path, seed: int) -> None:
    """Choose the half-life on the day before the last, and rank the last day."""
    rows = shown(folder)
    times = rows["time"]
    days = {"validation": (times >= VALIDATION) & (times < TEST), "test": times >= TEST}

    def auc(half_life: float) -> float:
        kept = days["validation"]
        score = scores(rows, half_life)["recent"][kept.to_numpy()]
        return float(by_impression(rows.filter(kept), score, seed)["auc"].mean())

    chosen = max(HALF_LIVES, key=auc)
    kept, metrics = days["test"], {"half_life": chosen}
    for name, score in scores(rows, chosen).items():
        table = by_impression(rows.filter(kept), score[kept.to_numpy()], seed)
        users = table["user"].cast(pl.Categorical).to_physical().cast(pl.Int64).to_torch()
        for metric in ("auc", "mrr", "ndcg"):
            found = bootstrap_interval(table[metric].to_torch(), users, seed=seed)
            ends = zip(("", "/low", "/high"), found, strict=True)
            metrics |= {f"{name}/{metric}{end}": value for end, value in ends}
        metrics["impressions"], metrics["users"] = len(table), int(torch.unique(users).numel())
    for low, high in itertools.pairwise(AGES):
        own = rows.filter(pl.col("hours").is_between(low, high, closed="left"))
        metrics |= {f"age-{low}/rate": own["click"].mean(), f"age-{low}/shown": len(own)}
    clicked = rows.filter(pl.col("click") == 1)["hours"]
    metrics |= {f"clicked/{q}": clicked.quantile(q / 100) for q in (50, 90, 95)}
    (out / "metrics.json").write_text(json.dumps(metrics))


def main() -> None:
    """Run the cells, print the table and draw the picture."""
    benchmark, data = Benchmark("news"), data_folder()
    for seed in SEEDS if data else ():
        command = [sys.executable, "-m", "benchmarks.news", "{out}", "{log}", str(seed)]
        log = data / "mind-small-sample" / "MINDsmall_train"
        benchmark.cell(f"mind/seed-{seed}", command, seed, "metrics.json", log=log)
    print(table(benchmark.cells))
    draw(benchmark.cells, Path(__file__).parents[1] / "docs" / "images" / "news.png")


def table(cells: dict[str, dict]) -> str:
    """Set the means over seeds as a Markdown table, with the mean ends of the intervals."""
    own = [cell["metrics"] for key, cell in cells.items() if key.startswith("mind/")]
    rows = []
    for name in sorted(SCORERS, key=lambda name: own[0][f"{name}/auc"]):
        mean = {k: fmean(m[k] for m in own) for k in own[0] if k.startswith(f"{name}/")}
        ends = f"{mean[f'{name}/auc/low']:.3f} to {mean[f'{name}/auc/high']:.3f}"
        auc = f"{mean[f'{name}/auc']:.3f} ({ends})"
        rows.append([SCORERS[name], auc, *(f"{mean[f'{name}/{k}']:.3f}" for k in ("mrr", "ndcg"))])
    return markdown(["ranked by", "AUC (95 %, users)", "MRR", "NDCG@10"], rows)


def draw(cells: dict[str, dict], path: Path) -> None:
    """Draw the click rate and the share of showings over the age of an article."""
    found = cells[f"mind/seed-{SEEDS[0]}"]["metrics"]
    names = [f"{low}–{high}" for low, high in itertools.pairwise(AGES)]
    figure, panels = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
    rates = [100 * found[f"age-{low}/rate"] for low in AGES[:-1]]
    counts = np.array([found[f"age-{low}/shown"] for low in AGES[:-1]], float)
    widths = np.diff(AGES)
    panels[0].bar(names, rates, color="#4c72b0")
    panels[0].set(ylabel="clicks of 100 showings", title="older articles are clicked less")
    panels[1].bar(names, 100 * counts / counts.sum() / widths, color="#999999")
    panels[1].set(ylabel="% of showings an hour of age", title="and most shown are young")
    for axes in panels:
        axes.set_xlabel("hours since an article was first shown")
        axes.tick_params(axis="x", labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] != "--data":
        measure(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
