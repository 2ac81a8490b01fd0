"""The table of the benchmark `ranking`, and its numbers under flat keys."""

from statistics import fmean

from benchmarks.cells import markdown
from benchmarks.ranking.peers.protocol import CUTOFF, THRESHOLD

TO = "cpu_seconds_to_.090"
SHOWN = {
    f"ndcg@{CUTOFF}": "test NDCG@10",
    f"recall@{CUTOFF}": "Recall@10",
    f"validation/ndcg@{CUTOFF}": "best validation",
    "best_epoch": "at epoch",
    TO: f"CPU s to {THRESHOLD:.3f}",
    "cpu_seconds_per_epoch": "CPU s an epoch",
}
NDCG = f"ndcg@{CUTOFF}"
TOWERS = {
    "`CausalTransformer`": "lightrec-random-start",
    "`LigrTransformer`": "lightrec-ligr-random-start",
    "`GRU`": "lightrec-gru-random-start",
    "`MeanPooling` (40 epochs)": "lightrec-pooling-random-start",
}
PEERS = {
    "`CausalTransformer`": {
        "rectools-sasrec": "SASRec of RecTools",
        "replay-sasrec": "of RePlay",
    },
    "`LigrTransformer`": {"rectools-esasrec": "eSASRec of RecTools"},
    "`GRU`": {},
    "`MeanPooling` (40 epochs)": {"torch-pooling": "`torch-pooling`"},
}
"""GRU4Rec is not among them: RecBole's was stopped after few epochs."""


def ratio(cells: dict[str, dict], key: str) -> float | None:
    """How many times lightrec's CPU seconds to the threshold another needed; None: not reached."""
    own, other = (cells.get(k, {}).get("metrics", {}).get(TO) for k in ("ml-100k/lightrec", key))
    return other / own if own and other else None


def numbers(cells: dict[str, dict]) -> dict[str, float | None]:
    """Give all plain numbers of the cells, such as ``ml-100k/lightrec/ndcg@10``, and the ratios."""
    found = {
        f"{key}/{name}": value
        for key, cell in cells.items()
        for name, value in cell["metrics"].items()
        if value is None or isinstance(value, int | float)
    }
    return found | {f"{key}/ratio_to_lightrec": ratio(cells, key) for key in cells}


def table(cells: dict[str, dict]) -> str:
    """Set the cells of the first seed as a Markdown table, lightrec first."""
    rows = []
    for key in sorted(cells, key=lambda k: ("lightrec" not in k, k)):
        name = key.partition("/")[2]
        if "/seed-" in name or (name in TOWERS.values() and name != "lightrec-random-start"):
            continue
        found = cells[key]["metrics"]
        times = ratio(cells, key)
        texts = [_text(column, found.get(column)) for column in SHOWN]
        rows.append([name, *texts, "–" if times is None else f"{times:.1f}", found["ended"]])
    return markdown(["", *SHOWN.values(), "/ lightrec", "ended after"], rows)


def towers(cells: dict[str, dict]) -> str:
    """Set each tower's test NDCG@10 from a random start, seed by seed, beside its peers'."""
    rows = []
    for tower, name in TOWERS.items():
        keys = [f"ml-100k/{name}", *(f"ml-100k/{name}/seed-{seed}" for seed in (1, 2))]
        own = [cells[key]["metrics"][NDCG] for key in keys]
        peers = {
            words: cells[f"ml-100k/{peer}"]["metrics"][NDCG] for peer, words in PEERS[tower].items()
        }
        shown = ", ".join(f"{words} {value:.3f}" for words, value in peers.items())
        rows.append([tower, ", ".join(f"{value:.4f}" for value in own), f"{fmean(own):.3f}", shown])
    return markdown(["tower", "seeds 0, 1, 2", "mean", "peers"], rows)


def _text(name: str, value: float | None) -> str:
    if value is None:
        return "not reached"
    if name == "best_epoch":
        return str(value)
    return f"{value:.2f}" if name.startswith("cpu") else f"{value:.4f}"
