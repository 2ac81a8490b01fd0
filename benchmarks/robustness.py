"""Noise in histories, and false users: `make bench NAME=robustness`.

Logs are read from the folder that ``--data`` or the variable LIGHTREC_TEST_DATA names. ``--only
films`` runs the cells whose keys begin so. The seeds are none of those that recipes were made with.
"""

import sys
from statistics import fmean

from benchmarks.cells import LIGHTREC, Benchmark, data_folder, markdown
from lightrec.evaluation.base import spread

SEEDS = (3, 4, 5)
LOGS = {
    "films": ("video", "{data}/ml-100k"),
    "artists": ("music", "{data}/hetrec2011-lastfm-2k"),
}
CHANGES = {
    "noise-0.1": "10 % noise",
    "noise-0.3": "30 % noise",
    "attacked": "1 % false users",
}


def main() -> None:
    """Run the cells and print the table."""
    benchmark, data = Benchmark("robustness"), data_folder()
    for seed in SEEDS:
        for name, (domain, log) in LOGS.items():
            key = f"{name}/seed-{seed}"
            if not benchmark.wants(key):
                continue
            if data is None and not benchmark.has(key):
                sys.exit("Name the folder of the data sets with --data.")
            command = [LIGHTREC, "run", domain, "--log", log, "--seed", str(seed), "--goal", "next"]
            command += ["--evaluate.evaluators+=Robustness", "--out", "{out}/run"]
            benchmark.cell(key, command, seed, "run/metrics.json", data=data)
    there = {key.partition("/")[0] for key in benchmark.cells}
    print(*(table(benchmark.cells, name) for name in LOGS if name in there), sep="\n\n")


def table(cells: dict[str, dict], name: str) -> str:
    """Set what noise and false users change, means over seeds, as Markdown."""
    own = [cell["metrics"] for key, cell in cells.items() if key.startswith(f"{name}/")]
    found = {key.split("/")[1] for key in own[0] if key.startswith("robust/") and "ndcg@10" in key}
    models = {model: fmean(each[f"robust/{model}/ndcg@10"] for each in own) for model in found}

    def ends(key: str, form: str) -> str:
        there = all(key in each for each in own)
        names = [f"{key}{end}" for end in ("", "/low", "/high")]
        return spread((fmean(each[n] for each in own) for n in names) if there else None, form)

    rows = []
    for model in sorted(models, key=lambda model: -models[model]):
        changed = [ends(f"robust/{model}/{change}", "+.3f") for change in CHANGES]
        lists = [ends(f"robust/{model}/{when}", ".1%") for when in ("before", "after")]
        rows.append([model, f"{models[model]:.3f}", *changed, *lists])
    held = ["lists with a promoted item", "after the attack"]
    return markdown(["NDCG@10", "as it is", *CHANGES.values(), *held], rows)


if __name__ == "__main__":
    main()
