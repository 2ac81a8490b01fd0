"""The whole demo on MovieLens-100K: `make bench NAME=video`.

Recipes were made by looking at seeds 0 to 2; what is reported are others. Each seed has other
halves of the users, so that user models A and B are others too.
"""

from statistics import fmean

from benchmarks.cells import LIGHTREC, Benchmark, markdown, today
from lightrec.evaluation.session_tables import contenders

SEEDS = (3, 4, 5)
RANKED = {
    "test/ndcg@10": "blend NDCG@10",
    "test/recall@10": "blend Recall@10",
    "test/policy/ndcg@10": "policy NDCG@10",
    "test/popularity/ndcg@10": "popularity NDCG@10",
}
COMPARED = (
    "simulator/policy-minus-NAME/accepted",
    "simulator_new/policy-minus-NAME/accepted",
    "transfer_ratio/NAME/accepted",
)
MISSING = "–"


def main() -> None:
    """Run the cells and print the tables."""
    benchmark = Benchmark("video")
    for seed in SEEDS:
        command = [LIGHTREC, "run", "video", "--seed", str(seed), "--out", "{out}/video"]
        benchmark.cell(f"ml-100k/seed-{seed}", command, seed, "video/metrics.json")
    cells = today(benchmark.cells)
    print(ranking(cells), sessions(cells), sep="\n\n")
    for key in COMPARED:
        print(f"\n{key}\n{advantages(cells, key)}")


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
    taken = [str(metrics.get("recommend/by", MISSING)) for metrics in measured(cells).values()]
    shown = [[*row, by] for row, by in zip(rows, [*taken, ""], strict=False)]
    return markdown(["seed", *RANKED.values(), "`recommend` takes"], shown)


def sessions(cells: dict[str, dict]) -> str:
    """Set what users of model B accept a session, contender by contender, as Markdown."""
    found = measured(cells)
    rows = []
    for name, title in _contenders(found).items():
        values = [metrics.get(f"simulator/{name}/accepted") for metrics in found.values()]
        shown = [MISSING if value is None else f"{value:.2f}" for value in values]
        mean = MISSING if None in values else f"{fmean(values):.2f}"
        rows.append([title, *shown, mean])
    return markdown(["accepted a session", *(f"seed {seed}" for seed in found), "mean"], rows)


def advantages(cells: dict[str, dict], key: str) -> str:
    """Set a comparison of the policy with each contender, with its interval, as Markdown.

    :param key: of the metric, ``NAME`` standing for the contender: for the users who are new to
        user model A and to the policy, ``simulator_new/policy-minus-NAME/accepted``.
    """
    found, rows = measured(cells), []
    for name, title in _contenders(found).items():
        own = key.replace("NAME", name)
        if any(own in metrics for metrics in found.values()):
            rows.append([title, *(_interval(metrics, own) for metrics in found.values())])
    return markdown(["policy against", *(f"seed {seed}" for seed in found)], rows)


def _interval(metrics: dict[str, float], key: str) -> str:
    if key not in metrics:
        return MISSING
    mean, low, high = (metrics[f"{key}{end}"] for end in ("", "/low", "/high"))
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"


def _contenders(found: dict[int, dict[str, float]]) -> dict[str, str]:
    """Give names and titles of all that played in any seed."""
    return {
        name: title for metrics in found.values() for name, title in contenders(metrics).items()
    }


if __name__ == "__main__":
    main()
