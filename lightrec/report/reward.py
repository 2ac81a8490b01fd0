"""What the report and TensorBoard say of the learned reward: weights, parts, and extreme items."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from lightrec.evaluation.sections import Section, Table
from lightrec.report import plots
from lightrec.users.reward_explained import EXPLAINED

WEIGHTS = 30
"""At most so many weights are shown, the surest first."""
LEVEL = "any item"
"""The weight that says how an average item stands to nothing; it is not drawn."""


def learned_reward(run: Path, metrics: Mapping[str, float]) -> Section | None:
    """Show what the learned reward holds; None where the stage users_a did not write it."""
    found = _read(run / "users_a")
    if found is None:
        return None
    own, linear = (metrics.get(f"choice/a/{n}log_likelihood") for n in ("", "linear/"))
    text = (
        "Rewards are in nats; choosing nothing is worth 0. The first table is a reward that is "
        "linear in named features. It is fitted to the same choices, less the value of later "
        "offers as the model has it; its 95 % intervals allow for the dependence between choices "
        "of one user. Popularity is counted in the same log and takes over part of what makes "
        "items popular, so the weights without it are shown, too."
    )
    if own is not None and linear is not None:
        text += (
            f" Held-out choices have a log-likelihood of {linear:.3f} under it and of {own:.3f} "
            "under the model: the named features do not explain the difference."
        )
    text += (
        " How far people look ahead, γ, is an input: the log is as likely under other values, and "
        "a wrong one costs as much as looking ahead gains."
    )
    return Section(
        "What was learned",
        text,
        tables(found, _read(run / "users_b")),
        plots.svg(_drawn(found)) if "parts" in found or "linear" in found else "",
        "Parts are integrated gradients from an average item after a history of average items, "
        f"whose reward is {found.get('baseline', 0):.3f}; they add up to the difference. A part "
        "with mean 0 may still change single rewards: its size is the mean absolute value.",
    )


def to_tensorboard(folder: Path, logs: Path) -> None:
    """Show the same in TensorBoard, where a stage has explained its reward.

    :param folder: what the stage leaves.
    :param logs: where TensorBoard finds the stage.
    """
    found = _read(folder)
    if found is None:
        return
    with SummaryWriter(str(logs), filename_suffix=".reward") as writer:
        writer.add_figure("reward", _drawn(found), close=False)
        for table in tables(found):
            writer.add_text(f"reward/{table.head[0]}", _markdown(table))


def tables(found: Mapping[str, Any], other: Mapping[str, Any] | None = None) -> list[Table]:
    """Set what was found.

    :param other: the same of user model B, whose users are others.
    """
    made = []
    if "linear" in found:
        others = {
            "without popularity": found.get("without_popularity", []),
            "of the other users": (other or {}).get("linear", []),
        }
        shown = {head: {r["feature"]: r for r in rows} for head, rows in others.items() if rows}
        rows = [
            [row["feature"], _signed(row["weight"]), _interval(row)]
            + [_interval(column.get(row["feature"])) for column in shown.values()]
            for row in _surest(found)
        ]
        made.append(Table(["feature", "weight", "95 % interval", *shown], rows))
    if "parts" in found:
        rows = [[p["part"], _signed(p["mean"]), f"{p['size']:.3f}"] for p in found["parts"]]
        made.append(Table([f"part, {found['choices']} choices", "mean", "size"], rows))
    for side in ("best", "worst"):
        head = [f"{side} of {found['looked_at']:,} items", "mean reward", "training events"]
        rows = [[r["title"], _signed(r["reward"]), f"{r['events']:,}"] for r in found[side]]
        made.append(Table(head, rows))
    return made


def _read(folder: Path) -> dict[str, Any] | None:
    path = folder / EXPLAINED
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _surest(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = sorted(found["linear"], key=lambda r: -abs(r["weight"]) / max(r["error"], 1e-12))
    return rows[:WEIGHTS]


def _drawn(found: Mapping[str, Any]) -> plots.Figure:
    rows = [row for row in _surest(found) if row["feature"] != LEVEL] if "linear" in found else []
    number = (len(rows) > 0) + ("parts" in found)
    drawn, axes = plots.figure(5.2 * max(1, number), 0.24 * max(len(rows), 8) + 0.8, max(1, number))
    if rows:
        ends = {r["feature"]: (r["weight"], r["low"], r["high"]) for r in rows}
        plots.intervals(axes[0], ends, "weight and 95 % interval, nats")
    if "parts" in found:
        parts = {p["part"]: p["mean"] for p in found["parts"]}
        plots.bars(axes[number - 1], parts, "", "mean part of a chosen item's reward, nats")
    return drawn


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def _interval(row: Mapping[str, float] | None) -> str:
    return "–" if row is None else f"{row['low']:+.3f} to {row['high']:+.3f}"


def _markdown(table: Table) -> str:
    lines = [table.head, ["---"] * len(table.head), *table.rows]
    return "\n".join("| " + " | ".join(str(c).replace("|", "/") for c in r) + " |" for r in lines)
