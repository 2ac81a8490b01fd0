"""What the report and TensorBoard show of the user models, and of the reward that was learned."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from lightrec.data.files import EXPLAINED, RELIABILITY
from lightrec.evaluation.base import NOTHING, Bars, Chart, Curve, Intervals, Metrics, Section, Table
from lightrec.run import Run

MODELS = {"a": "user model A", "b": "user model B"}
COLUMNS = {
    "log_likelihood": "log-likelihood",
    "popularity": "popularity",
    "calibration_error": "calibration error",
    "temperature": "temperature",
}
PARTS = {
    f"{model}/{name}": f"{title}, user model {model.upper()}"
    for name, title in {
        "leaving": "leaving after a step",
        "value": "value of what was chosen",
        "return": "time until the next session",
    }.items()
    for model in MODELS
}
WEIGHTS = 30
"""At most so many weights are shown, the surest first."""
SEEN = 20
"""Bins with fewer forecasts are not drawn."""
LEVEL = "any item"
"""The weight that says how an average item compares with nothing; it is not drawn."""


def user_models_section(run: Run, metrics: Metrics) -> Section:
    """Show how well the user models predict held-out choices, leaving, values and returns."""
    compared = {"log_likelihood": "log-likelihood", "constant": "same for all users"}
    choices = Table.of(metrics, "choice/{}/{}", MODELS, COLUMNS)
    parts = Table.of(metrics, "choice/{}/{}", PARTS, compared)
    return Section(
        "The user models",
        "Mean log-likelihood of a held-out choice among its candidates, in nats (higher is "
        "better), next to a model that knows popularity only, fitted in the same way; the expected "
        "calibration error of the probabilities of all alternatives; and the temperature by which "
        "validation choices calibrated them.",
        [choices, parts] if parts.rows else [choices],
        [*filter(None, (calibration(run, name) for name in MODELS))],
        returns_left_out(metrics),
    )


def calibration(run: Run, model: str) -> Curve | None:
    """Draw how often forecasts of held-out choices came true; None where it was not noted."""
    path = run.folder(f"users_{model}") / RELIABILITY
    if not path.is_file():
        return None
    counts = json.loads(path.read_text(encoding="utf-8"))
    return Curve.of_reliability(counts, MODELS[model], SEEN)


def returns_left_out(metrics: Metrics) -> str:
    """Say why the days until users come back are missing; nothing where they are not."""
    found = metrics.get("choice/b/return/log_likelihood")
    if found is None or any(key.endswith("/days_away") for key in metrics):
        return ""
    start = "The days until users of model B come back are left out: "
    if found <= metrics["choice/b/return/constant"]:
        return f"{start}held-out sessions are predicted no better than by one law for all users."
    return f"{start}most users are not expected back within the time that the log spans."


def learned_reward(run: Run, metrics: Metrics) -> Section | None:
    """Show what the learned reward holds; None where user model A's stage did not write it."""
    found = _read(run.folder("users_a"))
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
        tables(found, _read(run.folder("users_b"))),
        _charts(found),
        "Parts are integrated gradients from an average item after a history of average items, "
        f"whose reward is {found.get('baseline', 0):.3f}; they add up to the difference. A part "
        "with mean 0 may still change single rewards: its size is the mean absolute value.",
    )


def to_tensorboard(folder: Path, logs: Path) -> None:
    """Show the same in a stage's TensorBoard logs, where its folder explains its reward."""
    found = _read(folder)
    if found is None:
        return
    with SummaryWriter(str(logs), filename_suffix=".reward") as writer:
        if _charts(found):
            from lightrec.report import charts  # Matplotlib, which other stages do without

            writer.add_figure("reward", charts.draw(_charts(found)), close=False)
        for table in tables(found):
            writer.add_text(f"reward/{table.head[0]}", table.markdown())


def tables(found: Mapping[str, Any], other: Mapping[str, Any] | None = None) -> list[Table]:
    """Set what was found, next to the same of user model B, whose users are others."""
    made = []
    if "linear" in found:
        others = {
            "without popularity": found.get("without_popularity", []),
            "of the other users": (other or {}).get("linear", []),
        }
        shown = {head: {r["feature"]: r for r in rows} for head, rows in others.items() if rows}
        rows = [
            [row["feature"], f"{row['weight']:+.3f}", _interval(row)]
            + [_interval(column.get(row["feature"])) for column in shown.values()]
            for row in _surest(found)
        ]
        made.append(Table(["feature", "weight", "95 % interval", *shown], rows))
    if "parts" in found:
        rows = [[p["part"], f"{p['mean']:+.3f}", f"{p['size']:.3f}"] for p in found["parts"]]
        made.append(Table([f"part, {found['choices']} choices", "mean", "size"], rows))
    for side in ("best", "worst"):
        head = [f"{side} of {found['looked_at']:,} items", "mean reward", "training events"]
        rows = [[r["title"], f"{r['reward']:+.3f}", f"{r['events']:,}"] for r in found[side]]
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


def _charts(found: Mapping[str, Any]) -> list[Chart]:
    drawn: list[Chart] = []
    if "linear" in found:
        ends = {r["feature"]: (r["weight"], r["low"], r["high"]) for r in _surest(found)}
        ends.pop(LEVEL, None)
        drawn.append(Intervals(ends, "weight and 95 % interval, nats"))
    if "parts" in found:
        parts = {p["part"]: p["mean"] for p in found["parts"]}
        drawn.append(Bars(parts, "mean part of a chosen item's reward, nats"))
    return drawn


def _interval(row: Mapping[str, float] | None) -> str:
    return NOTHING if row is None else f"{row['low']:+.3f} to {row['high']:+.3f}"
