"""The table of the benchmark `ranking`, and its numbers under flat keys."""

from benchmarks.ranking.peers.protocol import CUTOFF, THRESHOLD

TO = "cpu_seconds_to_.090"
SHOWN = {
    f"ndcg@{CUTOFF}": "test NDCG@10",
    f"recall@{CUTOFF}": "Recall@10",
    f"validation/ndcg@{CUTOFF}": "best validation",
    "best_epoch": "at epoch",
    TO: f"CPU s to {THRESHOLD:.3f}".replace("0.", "."),
    "cpu_seconds_per_epoch": "CPU s an epoch",
}


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
    """Set the cells as a Markdown table, lightrec first."""
    lines = ["| | " + " | ".join(SHOWN.values()) + " | / lightrec | ended after |"]
    lines.append("| --- |" + " --- |" * (len(SHOWN) + 2))
    for key in sorted(cells, key=lambda k: ("lightrec" not in k, k)):
        found = cells[key]["metrics"]
        texts = [_text(name, found.get(name)) for name in SHOWN]
        times = ratio(cells, key)
        texts += ["–" if times is None else f"{times:.1f}", found["ended"]]
        lines.append(f"| {key.partition('/')[2]} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def _text(name: str, value: float | None) -> str:
    if value is None:
        return "not reached"
    if name == "best_epoch":
        return str(value)
    return f"{value:.2f}" if name.startswith("cpu") else f"{value:.4f}".removeprefix("0")
