"""The worlds whose truth is known, three seeds: `make bench NAME=worlds`.

Returns of random, greedy and constant contenders, of a rule that knows the law, and of the world's
own oracle; in `far` also how far users' values are from their rewards. One thread each.
"""

import sys
from statistics import fmean

from benchmarks.cells import Benchmark, markdown

SEEDS = range(3)
MISSING = "–"
EXPECTED: dict[tuple[int, str], float | None] = {
    (1, "random"): 1.73,
    (1, "greedy"): 3.01,
    (1, "constant"): None,
    (1, "constant-best"): 7.79,
    (1, "rule"): 14.64,
    (1, "oracle"): 14.84,
    (3, "random"): 3.33,
    (3, "greedy"): 3.27,
    (3, "constant"): None,
    (3, "constant-best"): 14.15,
    (3, "rule"): 19.34,
    (3, "oracle"): 20.77,
}
"""Returns that `greed` should have, by places and contender; they are known for one draw only."""
FAR = {
    "nothing": ("none chosen", "0.08–0.16", 3),
    "spearman": ("within-set Spearman of r with Q*", "0.86", 3),
    "spearman-without-after-effect": ("the same with ρ = 0", "0.98", 3),
    "slate-1/random/return": ("slate of 1: random", MISSING, 2),
    "slate-1/greedy/return": ("slate of 1: liked now", MISSING, 2),
    "slate-1/oracle/return": ("slate of 1: oracle", MISSING, 2),
    "slate-3/random/return": ("slate of 3: random", MISSING, 2),
    "slate-3/greedy/return": ("slate of 3: liked now", MISSING, 2),
    "slate-3/oracle/return": ("slate of 3: oracle", MISSING, 2),
    "slate-20/free/return": ("slate of 20: free choice", MISSING, 2),
}
"""Metrics of `far` with their words, what is expected, and decimal places."""


def main() -> None:
    """Run the cells and print the table."""
    benchmark = Benchmark("worlds")
    cells = [(world, seed) for world in ("greed", "far", "retention") for seed in SEEDS]
    for world, seed in [*cells, ("greed-draws", 0)]:
        command = [sys.executable, "-m", "benchmarks.worlds_run", world, str(seed)]
        benchmark.cell(f"{world}/seed-{seed}", [*command, "{out}/x.json"], seed, "x.json")
    print(*(table(benchmark.cells) for table in (greed, far, retention)), sep="\n\n")


def greed(cells: dict[str, dict]) -> str:
    """Set the returns in `greed` beside the expected ones as Markdown."""
    draws = cells["greed-draws/seed-0"]["metrics"]
    rows = []
    for (size, name), expected in EXPECTED.items():
        key = f"slate-{size}/{name}/return"
        found = fmean(cells[f"greed/seed-{seed}"]["metrics"][key] for seed in SEEDS)
        off = MISSING if expected is None else f"{found / expected - 1:+.1%}"
        row = [str(size), name.replace("constant-best", "best constant"), _text(expected)]
        rows.append([*row, f"{found:.2f}", off])
        rows[-1] += [_text(draws.get(f"{key}/{of}")) for of in ("mean", "deviation")]
    head = ["slate", "contender", "expected", "found", "off", "40 draws", "deviation"]
    return markdown(head, rows)


def far(cells: dict[str, dict]) -> str:
    """Set the laws and returns of `far` as Markdown, a seed a column."""
    rows = [
        [words, expected, *(f"{cells[f'far/seed-{s}']['metrics'][key]:.{places}f}" for s in SEEDS)]
        for key, (words, expected, places) in FAR.items()
    ]
    return markdown(["", "expected", *(f"seed {seed}" for seed in SEEDS)], rows)


def retention(cells: dict[str, dict]) -> str:
    """Set the returns in `retention` as Markdown, a seed a column."""
    found = [cells[f"retention/seed-{seed}"]["metrics"] for seed in SEEDS]
    rows = [
        [str(size), name, *(f"{metrics[f'slate-{size}/{name}/return']:.2f}" for metrics in found)]
        for size in (1, 3)
        for name in ("random", "greedy", "quality", "oracle")
    ]
    return markdown(["slate", "contender", *(f"seed {seed}" for seed in SEEDS)], rows)


def _text(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}"


def share(cells: dict[str, dict], size: str, name: str) -> str:
    """Give a contender's mean share of the oracle's return in `greed`, random being 0."""
    shares = []
    for cell in (cells[f"greed/seed-{seed}"]["metrics"] for seed in SEEDS):
        own, low, high = (cell[f"slate-{size}/{who}/return"] for who in (name, "random", "oracle"))
        shares.append((own - low) / (high - low))
    return f"{fmean(shares):.2f}"


if __name__ == "__main__":
    main()
