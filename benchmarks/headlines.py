"""Headline tests: an encoder tuned on randomised trials, `make bench NAME=headlines`.

The data are read from the folder that ``--data`` or the variable LIGHTREC_TEST_DATA names; ``--only
NAME`` runs the cells whose names begin so. Settings were chosen with seeds 0 to 2.
"""

import sys
from statistics import fmean, stdev

from benchmarks.cells import Benchmark, data_folder, markdown
from lightrec.evaluation.base import spread

SEEDS = range(3, 6)
FILE = "{data}/upworthy-exploratory/upworthy_clean.parquet"
WAYS = {
    "length": "the longer headline",
    "ridge": "ridge, frozen vectors",
    "map": "map tuned",
    "layers": "layers tuned",
    "mean": "mean of ridge and layers tuned",
}
PAIRS = {"all": "all pairs", "clear": "z above 1.645", "clearer": "z above 1.96"}


def main() -> None:
    """Run the cells and print the table."""
    benchmark = Benchmark("headlines")
    folder = data_folder()
    for seed in SEEDS:
        key = f"upworthy/seed-{seed}"
        if not benchmark.wants(key):
            continue
        if folder is None and not benchmark.has(key):
            sys.exit("Name the folder of the data sets with --data.")
        command = [sys.executable, "-m", "benchmarks.headlines_run", str(seed), "{out}", FILE]
        benchmark.cell(key, command, seed, "metrics.json", data=folder)
    print(table(benchmark.cells), replays(benchmark.cells), sep="\n\n")


def replays(cells: dict[str, dict]) -> str:
    """Set click rates of policies on test trials, means over seeds, as Markdown."""
    found = [c["metrics"] for c in cells.values() if "replay/chance" in c["metrics"]]
    if not found:
        return ""
    rules = ", ".join(sorted({each["replay/best rule"] for each in found}))
    titles = {"chance": "one at random", "rule": f"the best fixed rule ({rules})"}
    rows = []
    for way, title in (titles | {w: t for w, t in WAYS.items() if w != "length"}).items():
        shown = [title]
        for less, form in (("", ".3%"), ("-minus-chance", "+.3%"), ("-minus-rule", "+.3%")):
            keys = [f"replay/{way}{less}{end}" for end in ("", "/low", "/high")]
            mean, low, high = (fmean(each[key] for each in found) for key in keys)
            shown.append(spread((mean, low, high), form))
        rows.append(shown)
    return markdown(["shows", "click rate (95 %)", "less chance", "less the rule"], rows)


def table(cells: dict[str, dict]) -> str:
    """Set the share of test pairs ordered as by clicks, means over seeds ± their deviation."""
    found = [cell["metrics"] for cell in cells.values()]
    counts = [f"{fmean(each[f'{pairs}/pairs'] for each in found):,.0f}" for pairs in PAIRS]
    rows = [["pairs a seed", *counts], ["chance", *[".5"] * len(PAIRS)]]
    for way, title in WAYS.items():
        values = [[each[f"{pairs}/{way}"] for each in found] for pairs in PAIRS]
        spread = [f" ± {stdev(own):.3f}" if len(own) > 1 else "" for own in values]
        rows.append([title, *(f"{fmean(v):.3f}{s}" for v, s in zip(values, spread, strict=True))])
    return markdown(["order by", *PAIRS.values()], rows)


if __name__ == "__main__":
    main()
