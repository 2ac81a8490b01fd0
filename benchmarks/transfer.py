"""A ranker and a policy moved to other fields, beside training anew: `make bench NAME=transfer`.

Logs as published are read from the folder that ``--data`` or the variable LIGHTREC_TEST_DATA
names. The films are MovieLens-100K's. Of each target's users three in ten are kept for the test:
their last events are ranked among all items. Of the others a share, drawn by the seed, is the
target's log. ``--seeds 4,5`` takes other seeds than 3, ``--only films-food/1/`` the cells whose
keys begin so; ``--files`` names a folder that keeps the logs and the ranker of films.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import numpy as np
import polars as pl
import torch
from torch import Tensor

from benchmarks.cells import Benchmark, data_folder, markdown, option
from benchmarks.language import write
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST, EventStore
from lightrec.encoders.text import TextEncoder
from lightrec.evaluation.base import keys_of, spread
from lightrec.keys import Key
from lightrec.ranking.blending import JUDGED, judge, scorer, validation_events
from lightrec.ranking.continued import items_before
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models.base import Evidence, choose
from lightrec.ranking.item_models.item_to_item import TextNeighbours
from lightrec.ranking.metrics import evaluate_scores
from lightrec.ranking.sequence_data import SequenceData
from lightrec.run import Run
from lightrec.stages.run import run

WORDS = ["--model.init_args.use_ids=false", "--model.init_args.item_models=null"]
PREPARED = ["--k_core=0", "--new_items=true", "--equal_times=shuffle"]
EPOCHS = {1: 40, 10: 20, 100: 10}
"""By share of the users: a small log has few steps an epoch. Training stops early, as ever."""
TARGETS = {"food": "films → recipes", "lastfm": "films → artists"}
COLUMNS = {
    "popularity": "popularity",
    "neighbours": "text neighbours",
    "anew": "trained anew",
    "moved": "moved",
    "trained": "moved, trained",
    "blend": "the usual blend",
}
PAIRS = (("moved", "neighbours"), ("trained", "anew"), ("trained", "neighbours"))
"""What is compared, paired by user."""


def shares(name: str, share: int, seed: int, to: Path) -> tuple[Path, Path]:
    """Write the log of the users that are learned from, and that of those who test."""
    log = pl.read_csv(to / f"{name}.csv", infer_schema=False)
    users = np.random.default_rng(seed).permutation(log["user"].unique().sort().to_numpy())
    kept = round(0.3 * len(users))
    drawn = users[kept : kept + round((len(users) - kept) * share / 100)]
    paths = to / f"{name}-{share}-{seed}.csv", to / f"{name}-test-{seed}.csv"
    for path, own in zip(paths, (drawn, users[:kept]), strict=True):
        log.filter(pl.col("user").is_in(own.tolist())).write_csv(path)
    return paths


@torch.no_grad()
def measured(
    out: Path, source: Path, log: Path, test: Path, items: Path, epochs: int, seed: int
) -> dict[str, object]:
    """Train, and rank the last events of the users who test."""
    length = [f"--trainer.max_epochs={epochs}"]
    frozen = ["--model.init_args.tune=none"]

    def trained(name: str, ranker: list[str], text: list[str], start: Path | None = None) -> Run:
        settings = {"data": PREPARED, "text": text, "ranker": ranker}
        given = {"log": log, "items": items, "goal": ["next"], "until": "ranker", "seed": seed}
        return Run(run("generic", out=out / name, start_from=start, overrides=settings, **given))

    runs = {
        "anew": trained("anew", [*WORDS, *length], frozen),
        "moved": trained("moved", ["--trainer.max_epochs=0"], [], source),
        "trained": trained("trained", length, [], source),
        "blend": trained("blend", length, []),
    }
    learned = SequenceData(str(out / "anew" / "data"), TextEncoder(), seed=seed)
    judged = validation_events(learned, JUDGED)
    near, _ = choose(
        TextNeighbours(),
        Evidence.of(learned.store, learned.vectors),
        lambda own: judge(scorer(own), judged)["ndcg@10"],
    )
    counts = torch.from_numpy(learned.store.popularity()).double()
    scorers: dict[str, Callable[[Tensor], Tensor]] = {
        "popularity": lambda histories: counts.expand(len(histories), -1),
        "neighbours": near.scores,
    }
    scorers |= {n: (x.blend if n == "blend" else x.ranker).scores for n, x in runs.items()}
    settings = {"data": PREPARED}
    place = run(
        "generic", out=out / "test", log=test, items=items, until="data", overrides=settings
    )
    store = EventStore(place / "data")
    number = items_before(store, learned.store)  # of the items of those who test
    assert number[1:].all()
    events = EvaluationEvents(Sequences.all_events(store), TEST, None, 128, None, seed)
    results = {
        name: evaluate_scores(
            lambda batch, own=own: own(number[batch[Key.HISTORY]])[:, number], events
        )
        for name, own in scorers.items()
    }
    metrics: dict[str, object] = {
        "users": learned.store.num_users,
        "items": learned.num_items,
        "learned": len(learned.store.items),
        "events": len(results["moved"].ranks),
    }
    for name, result in results.items():
        found = result.metrics()
        metrics |= {f"{name}/{kind}": found[kind] for kind in ("ndcg@10", "recall@10")}
    for one, other in PAIRS:
        ahead = results[one].bootstrap(results[other], seed=seed)
        metrics |= keys_of(f"{one}-minus-{other}/ndcg@10", ahead)
    return metrics


def main() -> None:
    """Run the cells and print the tables."""
    benchmark, data = Benchmark("transfer"), data_folder()
    if data is None:
        sys.exit("Name the folder of the logs with --data.")
    with tempfile.TemporaryDirectory() as scratch:
        files = Path(option("--files", scratch))
        for seed in option("--seeds", "3").split(","):
            for name in TARGETS:
                for share, epochs in EPOCHS.items():
                    key = f"films-{name}/{share}/seed-{seed}"
                    if not benchmark.wants(key) or benchmark.has(key):
                        continue
                    write("ml-100k", data, files)
                    write(name, data, files)
                    log, test = shares(name, share, int(seed), files)
                    films = {"log": files / "ml-100k.csv", "items": files / "ml-100k_items.csv"}
                    settings = {"ranker": [*WORDS, "--trainer.max_epochs=5"]}
                    given = {**films, "goal": ["next"], "until": "ranker", "overrides": settings}
                    source = run("generic", out=files / "films", **given)
                    command = [sys.executable, "-m", "benchmarks.transfer", "{out}", "{films}"]
                    command += [f"{{data}}/{path.name}" for path in (log, test)]
                    command += [f"{{data}}/{name}_items.csv", str(epochs), seed]
                    benchmark.cell(
                        key, command, int(seed), "metrics.json", data=files, films=source
                    )
            key = f"policies/seed-{seed}"
            if benchmark.wants(key) and not benchmark.has(key):
                paths = []
                for name, share in (("food", 100), ("lastfm", 10)):
                    write(name, data, files)
                    log, _ = shares(name, share, int(seed), files)
                    paths += [f"{{data}}/{log.name}", f"{{data}}/{name}_items.csv"]
                command = [sys.executable, "-m", "benchmarks.transfer_policies", "{out}"]
                command += [*paths, seed]
                benchmark.cell(key, command, int(seed), "metrics.json", data=files)
    print(table(benchmark.cells), advantages(benchmark.cells), sep="\n\n")


def measurements(cells: dict[str, dict]) -> dict[tuple[str, int], list[dict]]:
    """Give the metrics of all seeds, by target and share of its users."""
    found: dict[tuple[str, int], list[dict]] = {}
    for name in TARGETS:
        for share in EPOCHS:
            own = [c["metrics"] for k, c in cells.items() if k.startswith(f"films-{name}/{share}/")]
            found |= {(name, share): own} if own else {}
    return found


def table(cells: dict[str, dict]) -> str:
    """Set NDCG@10 of all contenders, means over the seeds that were measured, as Markdown."""
    rows = []
    for (name, share), own in measurements(cells).items():
        values = [fmean(each[f"{column}/ndcg@10"] for each in own) for column in COLUMNS]
        users = f"{round(fmean(each['users'] for each in own)):,}"
        title = f"{TARGETS[name]}, {share} %"
        rows.append([title, users, str(len(own)), *(f"{value:.4f}" for value in values)])
    return markdown(["source → target, share of users", "users", "seeds", *COLUMNS.values()], rows)


def advantages(cells: dict[str, dict]) -> str:
    """Set what contenders are ahead of others in NDCG@10, means of intervals over seeds."""
    rows = []
    for (name, share), own in measurements(cells).items():
        shown = []
        for one, other in PAIRS:
            key = f"{one}-minus-{other}/ndcg@10"
            ends = [fmean(each[f"{key}{end}"] for each in own) for end in ("", "/low", "/high")]
            shown.append(spread((ends[0], ends[1], ends[2]), "+.4f"))
        rows.append([f"{TARGETS[name]}, {share} %", *shown])
    head = [f"{COLUMNS[one]} − {COLUMNS[other]}" for one, other in PAIRS]
    return markdown(["source → target, share of users", *head], rows)


def policies(cells: dict[str, dict]) -> str:
    """Set what policies reach in the artists' user model B, a row a seed."""
    from benchmarks.transfer_policies import PAIRS as COMPARED
    from benchmarks.transfer_policies import PLAYERS

    rows = []
    for key, cell in cells.items():
        if key.startswith("policies/"):
            found = cell["metrics"]
            values = [f"{found[f'{name}/accepted']:.3f}" for name in PLAYERS]
            for one, other in COMPARED:
                ends = (found[f"{one}-minus-{other}/accepted{x}"] for x in ("", "/low", "/high"))
                values.append(spread(tuple(ends), "+.3f"))
            rows.append([key.removeprefix("policies/seed-"), *values])
    head = [f"{PLAYERS[one]} − {PLAYERS[other]}" for one, other in COMPARED]
    return markdown(["seed", *PLAYERS.values(), *head], rows)


if __name__ == "__main__":
    if len(sys.argv) > 7 and not sys.argv[1].startswith("--"):
        place, *paths = map(Path, sys.argv[1:6])
        made = measured(place, *paths, int(sys.argv[6]), int(sys.argv[7]))
        (place / "metrics.json").write_text(json.dumps(made))
    else:
        main()
