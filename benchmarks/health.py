"""What healthier recipes cost in liking, along the whole trade-off: `make bench NAME=health`.

The ratings and recipes of food-who-health are read from the folder that ``--data`` or the variable
LIGHTREC_TEST_DATA names, with the set's own split: its parts stand as days in place of the times
that it does not have. Ratings of four stars and more count. Nothing was tuned on this log; seeds 3
to 5.
"""

import json
import sys
from pathlib import Path
from statistics import fmean

import matplotlib.pyplot as plt
import polars as pl
from lightrec_health.evaluator import HealthTradeOff
from lightrec_health.readers import PARTS, FoodReader

from benchmarks.cells import Benchmark, data_folder, markdown
from lightrec.__main__ import main as lightrec
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Tables
from lightrec.data.readers.canonical import write_tables
from lightrec.evaluation.base import interval, spread
from lightrec.evaluation.held_out import HeldOutLog, model_names
from lightrec.run import Run

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "health.png"
SEEDS = (3, 4, 5)
SETTINGS = ["--data.split", "global-time", "--data.validation_fraction", "0.5"]
SETTINGS += ["--data.test_fraction", "0.25", "--data.minimum_value", "4", "--data.k_core", "0"]
SETTINGS += ["--values.text_encoder", "WordEncoder", "--ranker.data.init_args.batch_size", "128"]


def write(source: Path, to: Path) -> None:
    """Write the ratings with the parts of the split as the first three days of 1970."""
    reader = FoodReader()
    days = [
        reader.read_log(source / name).events.with_columns(time=pl.datetime(1970, 1, day))
        for day, name in enumerate(PARTS, 1)
    ]
    to.mkdir()
    write_tables(Tables(InteractionLog(pl.concat(days)), reader.read_items(source)), to)


def measure(seed: int, data: Path, out: Path) -> None:
    """Run up to the ranker, rank the set's test part, and re-rank it with all weights."""
    write(data / "food-who-health", out / "log")
    arguments = ["run", "health", "--log", str(out / "log"), "--seed", str(seed), *SETTINGS]
    if lightrec([*arguments, "--until", "ranker", "--out", str(out / "run")]):
        raise SystemExit(1)
    run = Run(out / "run")
    metrics = HeldOutLog().without_policy(run, seed)
    metrics |= {f"chosen/{k}": v for k, v in run.metrics("ranker").items() if "ndcg@10" in k}
    metrics |= HealthTradeOff(max_events=None).evaluate(run, seed).metrics
    (out / "metrics.json").write_text(json.dumps(metrics))


def main() -> None:
    """Run the cells, print the tables and draw the trade-off."""
    benchmark, folder = Benchmark("health"), data_folder()
    for seed in SEEDS:
        key = f"food/seed-{seed}"
        if folder is None and not benchmark.has(key):
            sys.exit("Name the folder of the data with --data.")
        command = [sys.executable, "-m", "benchmarks.health", str(seed), "{data}", "{out}"]
        benchmark.cell(key, command, seed, "metrics.json", data=folder)
    print(ranking(benchmark.cells), trade_off(benchmark.cells), sep="\n\n")
    draw(benchmark.cells, PICTURE)


def ranking(cells: dict[str, dict]) -> str:
    """Set NDCG@10 of the test ratings, and the blend's advantages, as Markdown."""
    rows = []
    for cell in cells.values():
        metrics = cell["metrics"]
        known = {n: metrics.get(f"chosen/validation/{n}/ndcg@10", 0) for n in model_names(metrics)}
        best = max(known, key=known.__getitem__)
        shown = [metrics[f"test/{n}/ndcg@10"] for n in ("blend", "ranker", "popularity", best)]
        ahead = [
            spread(interval(metrics, f"test/blend-minus-{name}/ndcg@10"))
            for name in ("popularity", best)
        ]
        rows.append([str(cell["seed"]), *(f"{value:.3f}" for value in shown), best, *ahead])
    head = ["seed", "blend", "its ranker", "popularity", "best item model", "which"]
    return markdown([*head, "blend over popularity", "over the best item model"], rows)


def curve(cells: dict[str, dict]) -> dict[str, tuple[float, float]]:
    """Give NDCG@10 and the health score shown by weight, means over seeds."""
    names = ("ndcg@10", "score")
    weights = [f"{step / 10:.2f}" for step in range(11)]
    return {
        weight: tuple(
            fmean(cell["metrics"][f"health/{weight}/{name}"] for cell in cells.values())
            for name in names
        )
        for weight in weights
    }


def trade_off(cells: dict[str, dict]) -> str:
    """Set the trade-off as Markdown, with the share of the blend's NDCG@10 that is kept."""
    points = curve(cells)
    own = points["0.00"][0]
    rows = [
        [weight, f"{ndcg:.3f}", f"{ndcg / own:.0%}", f"{score:.3f}"]
        for weight, (ndcg, score) in points.items()
    ]
    return markdown(["weight of health", "NDCG@10", "of the blend's", "health score shown"], rows)


def draw(cells: dict[str, dict], path: Path) -> None:
    """Draw NDCG@10 over the health score shown, a line a seed, with the weights in words."""
    figure, axes = plt.subplots(figsize=(5.4, 3.2), layout="constrained")
    for cell in cells.values():
        found = [curve({"": cell})[weight] for weight in curve(cells)]
        axes.plot([s for _, s in found], [n for n, _ in found], "-o", c="#1f5fa8", lw=1, ms=3)
    for weight, (ndcg, score) in [*curve(cells).items()][::2]:
        axes.annotate(f" {float(weight):g}", (score, ndcg), fontsize=8, va="bottom")
    axes.set(xlabel="mean health score of the ten shown", ylabel="NDCG@10", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    if len(sys.argv) > 3 and sys.argv[1].isdigit():
        measure(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
