"""Generators beside published ones, and how exact they are: `make bench NAME=generate`.

Beauty, the five-core file of P5, is read from the folder that ``--data`` or the variable
LIGHTREC_TEST_DATA names; MovieLens-100K is the sample of the domain ``video``. Settings were chosen
on validation events of seeds 0 to 2, most of them on Beauty's of seed 0. ``--only beauty/`` runs
the cells whose keys begin so.
"""

import sys
from collections.abc import Mapping
from statistics import fmean

from benchmarks.cells import Benchmark, data_folder, markdown

SEEDS = (3, 4, 5)
BEAUTY = ["--log", "{data}/log.csv", "--items", "{data}/items.csv"]
FILMS = [
    "--data.domain=video",
    "--identifiers.size=64",
    "--generator.trainer.max_epochs=12",
    "--generator.data.init_args.batch_size=32",
    "--generator.model.init_args.without_dropout=0.25",
]
"""Chosen on MovieLens-100K's validation events, with seeds 0 and 1."""
PARALLEL = [
    *("--identifiers.kind", "product", "--identifiers.digits", "32", "--identifiers.size", "256"),
    *("--generator.model.init_args.generator", "ParallelGenerator"),
]
CELLS = {
    "beauty": BEAUTY,
    "films": FILMS,
    "beauty, parallel digits": [*BEAUTY, *PARALLEL],
}
BLENDS = {
    "films": [FILMS[0], "--", *FILMS[1:]],
    "beauty": BEAUTY,
}
TITLES = {"beauty": "Beauty", "films": "MovieLens-100K"}
WAYS = ("generator", "text neighbours")
SHOWN = {
    "removed/ndcg@10": ".4f",
    "removed/recall@10": ".4f",
    "kept/ndcg@10": ".4f",
    "kept/recall@10": ".4f",
    "training/cpu_seconds": ".0f",
    "ms a user": ".2f",
}


def main() -> None:
    """Run the cells and print the tables."""
    benchmark, data = Benchmark("generate"), data_folder()
    if data is None:
        sys.exit("Name the folder of the logs with --data.")
    module = [sys.executable, "-m", "benchmarks.generate_run", "{out}"]
    for name, given in CELLS.items():
        for seed in SEEDS:
            key, what = f"{name}/seed-{seed}", "ranks"
            if name == "beauty" and seed == SEEDS[0]:
                what = "checks"
            if benchmark.wants(key):
                command = [*module, str(seed), what, *given]
                paths = {"data": data / "amazon-beauty-p5"}
                benchmark.cell(key, command, seed, "metrics.json", **paths)
    for seed in SEEDS:
        key, split = f"new/seed-{seed}", ["--data.split", "item-cold", "--data.seed", str(seed)]
        if benchmark.wants(key):
            paths = {"data": data / "amazon-beauty-p5"}
            command = [*module, str(seed), "new", *BEAUTY, *split]
            benchmark.cell(key, command, seed, "metrics.json", **paths)
    for name, given in BLENDS.items():
        for seed in SEEDS:
            if benchmark.wants(key := f"blend, {name}/seed-{seed}"):
                command = [sys.executable, "-m", "benchmarks.generate_blend", "{out}", str(seed)]
                paths = {"data": data / "amazon-beauty-p5"}
                benchmark.cell(key, [*command, *given], seed, "metrics.json", **paths)
    if benchmark.wants("million"):
        benchmark.cell("million", [*module, "3", "million"], 3, "metrics.json")
    print(*(made(benchmark.cells) for made in (ranked, exact, unseen, added)), sep="\n\n")


def ranked(cells: Mapping[str, dict]) -> str:
    """Set how test events are ranked, means over seeds, as Markdown."""
    rows = []
    for name in CELLS:
        seeds = [c["metrics"] for key, c in cells.items() if key.startswith(f"{name}/seed-")]
        if seeds:
            shown = [f"{fmean(each[key] for each in seeds):{form}}" for key, form in SHOWN.items()]
            log, _, way = name.partition(", ")
            rows.append([TITLES[log], way or "digit after digit", str(len(seeds)), *shown])
    head = ["log", "generator", "seeds", "NDCG@10, seen removed", "Recall@10", "seen kept: NDCG@10"]
    return markdown([*head, "Recall@10", "CPU seconds to train", "ms a user"], rows)


def exact(cells: Mapping[str, dict]) -> str:
    """Set beams beside the exact ranking, as Markdown."""
    found = cells.get("beauty/seed-3", {"metrics": {}})["metrics"]
    rows = []
    for name in ("nothing removed", "seen removed", "half may be shown"):
        if f"beam, {name}" in found:
            rows.append([name, *(f"{found[f'{way}, {name}']:.4f}" for way in ("exact", "beam"))])
    return markdown(["NDCG@10 of 2,000 events", "exact law", "beam of 50"], rows)


def off(cells: Mapping[str, dict]) -> str:
    """Say how far a catalog's probabilities are from a sum of 1, at most."""
    found = (cell["metrics"].get("off one", 0.0) for cell in cells.values())
    return f"{max(found):.0e}".replace("-", "−")


def tokens(cells: Mapping[str, dict]) -> str:
    """Set the times of beams over a million items, as Markdown."""
    found = cells["million"]["metrics"]
    names = {
        "free": "any digits",
        "beam": "items alone",
        "beam, half may be shown": "items that may be shown, half of all",
    }
    rows = [[said, f"{found[f'{name}/ms a token']:.2f}"] for name, said in names.items()]
    return markdown(["a beam of 20 writes", "CPU ms a token"], rows)


def unseen(cells: Mapping[str, dict]) -> str:
    """Set how events of new items are ranked, seed by seed, as Markdown."""
    rows = []
    for key in sorted(key for key in cells if key.startswith("new/")):
        found = cells[key]["metrics"]
        lost = 1 - found["warm/ndcg@10"] / found["warm, without new/ndcg@10"]
        shown = [
            f"{found[f'{way}/recall@10 among {each}']:.3f}"
            for each in ("all", "new")
            for way in WAYS
        ]
        rows.append([key.partition("/seed-")[2], f"{found['new events']:,}", *shown, f"{lost:.1%}"])
    head = [f"{way}, among {each}" for each in ("all items", "new ones") for way in WAYS]
    return markdown(["seed", "events of new items", *head, "NDCG@10 that others lose"], rows)


def added(cells: Mapping[str, dict]) -> str:
    """Set the blend with a generator beside the one without, seed by seed, as Markdown."""
    rows = []
    for name in BLENDS:
        for seed in SEEDS:
            if cell := cells.get(f"blend, {name}/seed-{seed}"):
                found = cell["metrics"]
                ends = (f"{found[f'ahead/ndcg@10/{end}']:+.4f}" for end in ("low", "high"))
                shown = [f"{found[f'{way}/ndcg@10']:.4f}" for way in ("without", "with")]
                lead = f"{found['ahead/ndcg@10']:+.4f} ({' to '.join(ends)})"
                rows.append([TITLES[name], str(seed), *shown, lead, f"{found['weight']:.2f}"])
    head = ["log", "seed", "blend without", "blend with it", "ahead (95 %)", "its weight"]
    return markdown(head, rows)


if __name__ == "__main__":
    main()
