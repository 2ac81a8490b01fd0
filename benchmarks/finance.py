"""Share trades of House members, and portfolios of what is recommended: `make bench NAME=finance`.

The trades, and the daily prices of 29 shares, are read from the folder that ``--data`` or the
variable LIGHTREC_TEST_DATA names. Purchases of the last fifth of the time are held out. Nothing was
tuned on this log; seeds 3 to 5.
"""

import json
import sys
from pathlib import Path
from statistics import fmean

import matplotlib.pyplot as plt
import numpy as np
from lightrec_finance.evaluator import COLUMNS, ROWS, Portfolios, month_ends
from lightrec_finance.prices import Prices

from benchmarks.cells import Benchmark, data_folder, markdown
from lightrec.__main__ import main as lightrec
from lightrec.evaluation.base import interval, spread
from lightrec.evaluation.held_out import HeldOutLog, model_names
from lightrec.run import Run

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "finance.png"
SEEDS = (3, 4, 5)
PANEL = "sp500_dataset.csv", "stock_prices.csv"
COSTS = 0.001
SETTINGS = ["--data.skip_broken", "broken.csv", "--values.text_encoder", "WordEncoder"]
COLORS = {"recommended": "#1f5fa8", "popularity": "#b5493a", "everything": "#9aa7b5"}


def measure(seed: int, data: Path, out: Path) -> None:
    """Run up to the ranker, rank the held-out purchases, and follow the portfolios."""
    log = ["--log", str(data / "house-stock-watcher"), "--seed", str(seed)]
    arguments = ["run", "finance", *log, *SETTINGS, "--until", "ranker", "--out", str(out / "run")]
    if lightrec(arguments):
        raise SystemExit(1)
    run = Run(out / "run")
    metrics = HeldOutLog().without_policy(run, seed)
    metrics |= {f"chosen/{k}": v for k, v in run.metrics("ranker").items() if "ndcg@10" in k}
    portfolios = Portfolios([str(data / "finance-panel" / name) for name in PANEL], cost=COSTS)
    prices = Prices.of(portfolios.prices, run.data)
    metrics |= portfolios.evaluate(run, seed).metrics
    courses = portfolios.courses(run, prices, month_ends(run.data, prices))
    series = {name: course.values.mean(1).tolist() for name, course in courses.items()}
    priced = int((~np.isnan(prices.values)).any(0).sum())
    days = courses["everything"].days.astype(str).tolist()
    found = metrics | {"priced": priced, "users": run.data.num_users, "items": run.data.num_items}
    (out / "metrics.json").write_text(json.dumps(found | {"series": series, "days": days}))


def main() -> None:
    """Run the cells, print the tables and draw the portfolios."""
    benchmark, folder = Benchmark("finance"), data_folder()
    for seed in SEEDS:
        key = f"house/seed-{seed}"
        if folder is None and not benchmark.has(key):
            sys.exit("Name the folder of the data with --data.")
        command = [sys.executable, "-m", "benchmarks.finance", str(seed), "{data}", "{out}"]
        benchmark.cell(key, command, seed, "metrics.json", data=folder)
    print(ranking(benchmark.cells), portfolios(benchmark.cells), sep="\n\n")
    draw(benchmark.cells, PICTURE)


def _by_seed(cells: dict[str, dict]) -> dict[int, dict]:
    """Give the metrics of the seeds that were measured."""
    return {cell["seed"]: cell["metrics"] for cell in cells.values()}


def best_model(metrics: dict[str, float]) -> str:
    """Name the item model that is best on the validation events."""
    return max(model_names(metrics), key=lambda n: metrics.get(f"chosen/validation/{n}/ndcg@10", 0))


def ranking(cells: dict[str, dict]) -> str:
    """Set NDCG@10 of the held-out purchases, and the blend's advantages, as Markdown."""
    rows = []
    for seed, metrics in _by_seed(cells).items():
        best = best_model(metrics)
        shown = [metrics[f"test/{n}/ndcg@10"] for n in ("blend", "ranker", "popularity", best)]
        ahead = [
            spread(interval(metrics, f"test/blend-minus-{name}/ndcg@10"))
            for name in ("popularity", best)
        ]
        rows.append([str(seed), *(f"{value:.3f}" for value in shown), best, *ahead])
    head = [
        "seed",
        "blend",
        "its ranker",
        "popularity",
        "best item model",
        "which",
        "over popularity",
    ]
    return markdown([*head, "over the best item model"], rows)


def portfolios(cells: dict[str, dict]) -> str:
    """Set what became of the portfolios, means over seeds, as Markdown."""
    rows = []
    for name, title in ROWS.items():
        values = {
            key: fmean(metrics[f"finance/{name}/{key}"] for metrics in _by_seed(cells).values())
            for key in COLUMNS
        }
        shown = [f"{values[key]:.1%}".replace("-", "−") for key in [*COLUMNS][:3]]
        rows.append([title, *shown, f"{values['turnover']:.2f}"])
    return markdown(["portfolio", *COLUMNS.values()], rows)


def draw(cells: dict[str, dict], path: Path) -> None:
    """Draw the mean value of the portfolios over the test time, a line a seed."""
    figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
    for name, title in ROWS.items():
        for metrics in _by_seed(cells).values():
            days = np.array(metrics["days"], "datetime64[D]")
            axes.plot(days, metrics["series"][name], color=COLORS[name], lw=1.2)
        axes.plot([], [], color=COLORS[name], label=title)
    axes.set_ylabel("mean value, after costs")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    axes.tick_params("x", labelsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    if len(sys.argv) > 3 and sys.argv[1].isdigit():
        measure(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
