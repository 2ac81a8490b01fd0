"""What friends are worth: item models with and without them, `make bench NAME=social`.

CiaoDVD has ratings with the raters' trust network, Last.fm 2k (HetRec 2011) plays with friendships.
Both arms have the same split, item models and rule for their weights, and no trained ranker; one
has :class:`~lightrec_social.friends.FriendsTaste` besides. ``--only NAME`` runs some of the cells.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from lightrec_social.friends import FriendsTaste, friendships

from benchmarks.cells import RESULTS, Benchmark, data_folder, markdown
from lightrec.__main__ import main as lightrec
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST
from lightrec.errors import NotApplicable
from lightrec.evaluation.base import Intervals, interval, keys_of, spread
from lightrec.evaluation.held_out import by_history
from lightrec.intervals import bootstrap_interval
from lightrec.ranking.blend import RANKER, Blend
from lightrec.ranking.blend_weights import Candidates, choose_weights
from lightrec.ranking.blending import (
    JUDGED,
    candidates,
    fitting_events,
    heard,
    judge,
    scorer,
    validation_events,
)
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models import item_to_item as items
from lightrec.ranking.item_models.als import ALS
from lightrec.ranking.item_models.base import (
    Evidence,
    ItemModel,
    Popularity,
    RecentPopularity,
    choose,
)
from lightrec.ranking.metrics import evaluate_scores
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.sequence_data import SequenceData
from lightrec.report.charts import draw
from lightrec.run import Run

SEEDS = (3, 4, 5)
PICTURE = RESULTS.parents[1] / "plugins" / "lightrec-social" / "friends.png"
FRIENDS, FEW = "FriendsTaste", 5
LEAST = 100
"""Of fewer test events nothing is shown."""
MODELS = (
    Popularity,
    RecentPopularity,
    items.ItemKNN,
    items.EASE,
    items.DirectionalCooccurrence,
    ALS,
    FriendsTaste,
)
LOGS = {
    "ciao": ("ciaodvd", "social"),
    "lastfm": ("hetrec2011-lastfm-2k", "music"),
}
OPTIONS = {"ciao": [], "lastfm": ["--data.repeats", "false"]}
PARTS = {
    "all": "everybody",
    "few": f"at most {FEW} events",
    "few-linked": "these with friends",
    "linked": "all with friends",
}


def measure(out: Path, recipe: str, seed: int, options: list[str]) -> None:
    """Prepare a log, choose all on validation events, and rank the test events with both arms."""
    command = ["run", recipe, *options, "--data.equal_times", "shuffle", "--seed", str(seed)]
    if status := lightrec([*command, "--out", str(out / "run"), "--until", "data"]):
        raise SystemExit(status)
    store = Run(out / "run").data
    data = SequenceData(str(store.folder), None, seed=seed)
    models, metrics = fitted(data)
    mixed = Blend(Ranker(data.num_items), models)
    given = candidates(mixed, data, fitting_events(data))
    names, scorers = [RANKER, *models], {n: by_history(m) for n, m in models.items()}
    for arm, own in (
        ("with", [*models]),
        ("without", [name for name in models if name != FRIENDS]),
    ):
        rows = [names.index(name) for name in own]
        part = Candidates(given.differences[rows], given.corrections, given.ranked, given.users)
        weights = heard(choose_weights(part, own)[0])
        metrics |= {f"{arm}/weight/{name}": weight for name, weight in weights.items()}
        scorers[arm] = by_history(Blend(mixed.ranker, models, weights))
    events = EvaluationEvents(Sequences.all_events(store), TEST, None, 256, None, seed)
    results = {name: evaluate_scores(own, events) for name, own in scorers.items()}
    linked = np.zeros(store.num_users, bool)
    linked[friendships(store.users, "friends")[:, 0]] = True
    few = np.diff(store.offsets) <= FEW
    slices = {"all": few | True, "few": few, "few-linked": few & linked, "linked": linked}
    for name, users in slices.items():
        part = torch.from_numpy(users)[results["with"].users]
        metrics[f"{name}/events"] = int(part.sum())
        for model, result in results.items():
            values = result.per_event([10])["ndcg@10"][part]
            metrics[f"{name}/{model}/ndcg@10"] = float(values.mean())
        gain = results["with"].paired(results["without"])[part]
        key = f"{name}/with-minus-without/ndcg@10"
        metrics |= keys_of(key, bootstrap_interval(gain, results["with"].users[part], seed=seed))
    metrics |= {"users": store.num_users, "items": store.num_items}
    (out / "metrics.json").write_text(json.dumps(metrics))


def fitted(data: SequenceData) -> tuple[dict[str, ItemModel], dict[str, float]]:
    """Fit the item models, each with the settings that are best on validation events."""
    evidence = Evidence.of(data.store, data.vectors)
    judged, models, values = validation_events(data, JUDGED), {}, {}
    for kind in MODELS:
        name = kind.__name__
        try:
            models[name], values[f"validation/{name}/ndcg@10"] = choose(
                kind(), evidence, lambda own: judge(scorer(own), judged)["ndcg@10"]
            )
        except NotApplicable as reason:
            print(f"{name} is left out. {reason}", file=sys.stderr)
    return models, values


def main() -> None:
    """Run the cells and print the table."""
    benchmark, data = Benchmark("social"), data_folder()
    for log, (folder, recipe) in LOGS.items():
        for seed in SEEDS:
            key = f"{log}/seed-{seed}"
            command = [sys.executable, "-m", "benchmarks.social", "{out}", recipe, str(seed)]
            command += ["--log", "{log}", *OPTIONS[log]]
            if benchmark.wants(key):
                path = data / folder if data else None
                benchmark.cell(key, command, seed, "metrics.json", log=path)
    print(table(benchmark.cells))
    if rows := gains(benchmark.cells):
        label = "NDCG@10 that friends add, mean over seeds"
        draw([Intervals(rows, label)]).savefig(PICTURE, dpi=110)


def gains(cells: dict[str, dict]) -> dict[str, tuple[float, float, float]]:
    """Give what friends add in each log and part, means of intervals over seeds."""
    rows = {}
    for log in LOGS:
        found = [cells[k]["metrics"] for s in SEEDS if (k := f"{log}/seed-{s}") in cells]
        for part, title in shown(found).items():
            key = f"{part}/with-minus-without/ndcg@10"
            ends = zip(*(interval(metrics, key) for metrics in found), strict=True)
            rows[f"{log}: {title}"] = tuple(map(fmean, ends))
    return rows


def table(cells: dict[str, dict]) -> str:
    """Set NDCG@10 with and without friends, means over seeds, and each seed's paired interval.

    Seeds that were not measured have a dash.
    """
    rows = []
    for log in LOGS:
        found = [cells[k]["metrics"] for s in SEEDS if (k := f"{log}/seed-{s}") in cells]
        for part, title in shown(found).items():
            best = best_model(found)
            values = [
                f"{fmean(m[f'{part}/{name}/ndcg@10'] for m in found):.4f}"
                for name in ("with", "without", best, FRIENDS, "Popularity")
            ]
            key = f"{part}/with-minus-without/ndcg@10"
            gained = [_gain(cells.get(f"{log}/seed-{seed}"), key) for seed in SEEDS]
            count = f"{fmean(m[f'{part}/events'] for m in found):,.0f}"
            rows.append([f"{log}: {title}", count, *values, *gained])
    head = ["NDCG@10", "users", "with friends", "without", "best item model", "friends alone"]
    head += ["popularity", *(f"gained, seed {seed}" for seed in SEEDS)]
    return markdown(head, rows)


def shown(found: Sequence[dict[str, float]]) -> dict[str, str]:
    """Give the parts of the users that have enough test events in all cells of a log."""
    enough = [p for p in PARTS if found and all(m[f"{p}/events"] >= LEAST for m in found)]
    return {part: PARTS[part] for part in enough}


def best_model(found: Sequence[dict[str, float]]) -> str:
    """Name the item model without friends that is best on validation events."""
    names = [kind.__name__ for kind in MODELS if kind is not FriendsTaste]
    known = [n for n in names if all(f"validation/{n}/ndcg@10" in metrics for metrics in found)]
    return max(known, key=lambda name: fmean(m[f"validation/{name}/ndcg@10"] for m in found))


def _gain(cell: dict | None, key: str) -> str:
    return spread(None if cell is None else interval(cell["metrics"], key), "+.4f")


if __name__ == "__main__":
    if len(sys.argv) > 3 and not sys.argv[1].startswith("--"):
        measure(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:])
    else:
        main()
