"""The whole demo on MovieLens-100K: `make bench NAME=video`.

Recipes were made by looking at seeds 0 to 2; what is reported are others. Each seed has other
halves of the users, so that user models A and B are others too.
"""

from statistics import fmean

from benchmarks.cells import LIGHTREC, Benchmark, markdown
from lightrec.pipeline.report import contenders, signed

SEEDS = (3, 4, 5)
RANKED = {
    "test/ndcg@10": "encoder NDCG@10",
    "test/recall@10": "encoder Recall@10",
    "test/policy/ndcg@10": "policy NDCG@10",
    "test/popularity/ndcg@10": "popularity NDCG@10",
}
MISSING = "–"


def main() -> None:
    """Run the cells and print the tables."""
    benchmark = Benchmark("video")
    for seed in SEEDS:
        command = [LIGHTREC, "run", "video", "--seed", str(seed), "--out", "{out}/video"]
        benchmark.cell(f"ml-100k/seed-{seed}", command, seed, "video/metrics.json")
    cells = benchmark.cells
    print(ranking(cells), sessions(cells), advantages(cells), sep="\n\n")


def measured(cells: dict[str, dict]) -> dict[int, dict[str, float]]:
    """Give the metrics of the reported seeds that are there."""
    keys = {seed: f"ml-100k/seed-{seed}" for seed in SEEDS}
    return {seed: cells[key]["metrics"] for seed, key in keys.items() if key in cells}


def ranking(cells: dict[str, dict]) -> str:
    """Set how the held-out log is ranked, seed by seed, and the mean, as Markdown."""
    found = {seed: [m[name] for name in RANKED] for seed, m in measured(cells).items()}
    rows = [[str(seed), *(f"{x:.3f}" for x in values)] for seed, values in found.items()]
    if found:
        means = (fmean(column) for column in zip(*found.values(), strict=True))
        rows.append(["mean", *(f"{x:.3f}" for x in means)])
    return markdown(["seed", *RANKED.values()], rows)


def sessions(cells: dict[str, dict]) -> str:
    """Set what users of model B accept a session, contender by contender, as Markdown."""
    found = measured(cells)
    rows = []
    for name, title in _contenders(found).items():
        values = [metrics.get(f"simulator/{name}/return") for metrics in found.values()]
        shown = [MISSING if value is None else f"{value:.2f}" for value in values]
        mean = MISSING if None in values else f"{fmean(values):.2f}"
        rows.append([title, *shown, mean])
    return markdown(["accepted a session", *(f"seed {seed}" for seed in found), "mean"], rows)


def advantages(cells: dict[str, dict]) -> str:
    """Set the policy's paired advantages with their intervals, and the share kept, as Markdown."""
    found = measured(cells)
    rows = []
    for name, title in _contenders(found).items():
        key, kept = f"simulator/policy-minus-{name}/return", f"share_kept/{name}/return"
        if not any(key in metrics for metrics in found.values()):
            continue
        shown = [
            signed(*(metrics[f"{key}{end}"] for end in ("", "/low", "/high")))
            if key in metrics
            else MISSING
            for metrics in found.values()
        ]
        shares = [f"{m[kept]:.2f}" if kept in m else MISSING for m in found.values()]
        rows.append([title, *shown, ", ".join(shares)])
    seeds = (f"seed {seed}" for seed in found)
    return markdown(["policy’s advantage (95 %) over", *seeds, "share kept"], rows)


def _contenders(found: dict[int, dict[str, float]]) -> dict[str, str]:
    """Give names and titles of all that played in any seed."""
    return {
        name: title for metrics in found.values() for name, title in contenders(metrics).items()
    }


if __name__ == "__main__":
    main()
