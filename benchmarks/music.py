"""Last.fm's plays, with the settings of the plugin: `make bench NAME=music`.

The last artist of each listener in a shuffled order is held out, and the one before it chooses the
settings; Last.fm's set (HetRec 2011) has no times. Nothing that was heard comes again. Artists'
names and tags are not read: no encoder of texts takes part.
"""

import sys
from statistics import fmean

from benchmarks.cells import RESULTS, Benchmark, data_folder, markdown, today
from lightrec.evaluation.base import Bars, interval, spread
from lightrec.report.charts import draw

SEEDS = (3, 4, 5)
SETTINGS = ["--data.equal_times", "shuffle", "--data.repeats", "false"]
SETTINGS += ["--values.text_encoder", "null"]
PICTURE = RESULTS.parents[1] / "plugins" / "lightrec-music" / "lastfm.png"
NAMED = {"blend": "blend", "ranker": "its ranker alone", "popularity": "popularity"}


def main() -> None:
    """Run the cells and print the table."""
    benchmark, data = Benchmark("music"), data_folder()
    for seed in SEEDS:
        command = [sys.executable, "-m", "benchmarks.encoder_run", "{out}", "music"]
        command += ["--log", "{log}", "--seed", str(seed), *SETTINGS]
        log = data / "hetrec2011-lastfm-2k" if data else None
        benchmark.cell(f"lastfm/seed-{seed}", command, seed, "metrics.json", log=log)
    cells = today(benchmark.cells)
    print(table(cells))
    draw([Bars(means(cells), "test NDCG@10, Last.fm", "blend")]).savefig(PICTURE, dpi=110)


def means(cells: dict[str, dict]) -> dict[str, float]:
    """Give the mean test NDCG@10 of all contenders."""
    found = [cells[f"lastfm/seed-{seed}"]["metrics"] for seed in SEEDS]
    keys = [key for key in found[0] if key.startswith("test/") and key.endswith("/ndcg@10")]
    names = [key.split("/")[1] for key in keys if key.count("/") == 2 and "-minus-" not in key]
    shown = {name: fmean(m[f"test/{name}/ndcg@10"] for m in found) for name in names}
    return {NAMED.get(name, name): value for name, value in shown.items()}


def table(cells: dict[str, dict]) -> str:
    """Set the test NDCG@10 of blend, popularity and the best item model as a Markdown table."""
    found = {seed: cells[f"lastfm/seed-{seed}"]["metrics"] for seed in SEEDS}
    best = best_model(cells)
    rows = []
    for name, title in {**NAMED, best: f"{best}, the best item model"}.items():
        values = [metrics[f"test/{name}/ndcg@10"] for metrics in found.values()]
        gains = [_gain(metrics, name) for metrics in found.values()]
        rows.append([title, *(f"{x:.4f}" for x in values), f"{fmean(values):.4f}", *gains])
    seeds = [f"seed {seed}" for seed in SEEDS]
    return markdown(["NDCG@10", *seeds, "mean", *(f"blend less it, {s}" for s in seeds)], rows)


def best_model(cells: dict[str, dict]) -> str:
    """Name the item model that is best on validation events, over all seeds."""
    found = [cells[f"lastfm/seed-{seed}"]["metrics"] for seed in SEEDS]
    ends = "validation/", "/ndcg@10"
    names = {
        key.removeprefix(ends[0]).removesuffix(ends[1])
        for key in set.intersection(*(set(metrics) for metrics in found))
        if key.startswith(ends[0]) and key.endswith(ends[1]) and key.count("/") == 2
    }
    names -= {*NAMED, "Popularity"}
    return max(
        (name for name in names if all(f"test/{name}/ndcg@10" in m for m in found)),
        key=lambda name: fmean(metrics[f"validation/{name}/ndcg@10"] for metrics in found),
    )


def _gain(metrics: dict[str, float], name: str) -> str:
    return spread(interval(metrics, f"test/blend-minus-{name}/ndcg@10"), "+.4f")


if __name__ == "__main__":
    main()
