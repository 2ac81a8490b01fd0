"""The learned reward of a run: beside the user models, in TensorBoard, in the report."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from lightrec.data.files import EXPLAINED
from lightrec.data.stage_data import StageData
from lightrec.evaluation.base import (
    NOTHING,
    Bars,
    Chart,
    Evaluator,
    Findings,
    Intervals,
    Section,
    Table,
)
from lightrec.nn.stage import AfterTraining, StageModule
from lightrec.run import Run
from lightrec.users.choice_data import ChoiceData
from lightrec.users.module import ChoiceModule
from lightrec.users.user_model import UserModel
from lightrec_audit.reward import explain

WEIGHTS = 30
"""Number of weights shown at most, the surest first."""
LEVEL = "any item"
"""The weight that says how an average item compares with nothing; it is not drawn."""


class LearnedReward(AfterTraining):
    """Explains the reward of a user model that was trained, in ``explained.json`` beside it."""

    def add(
        self, module: StageModule, data: StageData, folder: Path, logs: Path
    ) -> Mapping[str, float]:
        """Explain it, in TensorBoard, too; gives ``linear/log_likelihood``."""
        if not (isinstance(module, ChoiceModule) and isinstance(data, ChoiceData)):
            return {}
        metrics = explain(UserModel.load(folder), module.learner, data, folder)
        explained = _read(folder)
        with SummaryWriter(str(logs), filename_suffix=".reward") as writer:
            if drawn := _charts(explained):
                from lightrec.report import charts  # Matplotlib, which other stages do without

                writer.add_figure("reward", charts.draw(drawn), close=False)
            for table in tables(explained):
                writer.add_text(f"reward/{table.head[0]}", table.markdown())
        return metrics


class LearnedRewardSection(Evaluator):
    """Shows in the report what the learned reward holds; nothing where no stage explained it."""

    def evaluate(self, run: Run, seed: int) -> Findings:
        """No metrics: they are those of the stage ``users_a``."""
        explained, others = (_read(run.folder(stage)) for stage in ("users_a", "users_b"))
        if not explained:
            return Findings({})
        metrics = run.metrics("users_a")
        model, linear = (metrics.get(f"{n}log_likelihood") for n in ("", "linear/"))
        text = (
            "Rewards are in nats; choosing nothing is worth 0. The first table is a reward that is "
            "linear in named features. It is fitted to the same choices, less the value of later "
            "offers as the model has it; its 95 % intervals allow for the dependence between "
            "choices of one user. Popularity is counted in the same log and takes over part of "
            "what makes items popular, so the weights without it are shown, too."
        )
        if model is not None and linear is not None:
            text += (
                f" Held-out choices have a log-likelihood of {linear:.3f} under it and of "
                f"{model:.3f} under the model: the named features do not explain the difference."
            )
        text += (
            " How far people look ahead, γ, is an input: the log is as likely under other values, "
            "and a wrong one costs as much as looking ahead gains."
        )
        section = Section(
            "What was learned",
            text,
            tables(explained, others),
            _charts(explained),
            "Parts are integrated gradients from an average item after a history of average items, "
            f"whose reward is {explained.get('baseline', 0):.3f}; they add up to the difference. A "
            "part with mean 0 may still change single rewards: its size is the mean absolute "
            "value.",
        )
        return Findings({}, [section])


def tables(explained: Mapping[str, Any], other: Mapping[str, Any] | None = None) -> list[Table]:
    """Set a learned reward, next to the same of user model B, whose users are others."""
    made = []
    if "linear" in explained:
        others = {
            "without popularity": explained.get("without_popularity", []),
            "of the other users": (other or {}).get("linear", []),
        }
        shown = {head: {r["feature"]: r for r in rows} for head, rows in others.items() if rows}
        rows = [
            [row["feature"], f"{row['weight']:+.3f}", _interval(row)]
            + [_interval(column.get(row["feature"])) for column in shown.values()]
            for row in _surest(explained)
        ]
        made.append(Table(["feature", "weight", "95 % interval", *shown], rows))
    if "parts" in explained:
        rows = [[p["part"], f"{p['mean']:+.3f}", f"{p['size']:.3f}"] for p in explained["parts"]]
        made.append(Table([f"part, {explained['choices']} choices", "mean", "size"], rows))
    for side in ("best", "worst"):
        head = [f"{side} of {explained['looked_at']:,} items", "mean reward", "training events"]
        rows = [[r["title"], f"{r['reward']:+.3f}", f"{r['events']:,}"] for r in explained[side]]
        made.append(Table(head, rows))
    return made


def _read(folder: Path) -> dict[str, Any]:
    """The explained reward in a stage's folder; empty where there is none."""
    path, explained = folder / EXPLAINED, dict[str, Any]()
    if path.is_file():
        explained = json.loads(path.read_text(encoding="utf-8"))
    return explained


def _surest(explained: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = sorted(explained["linear"], key=lambda r: -abs(r["weight"]) / max(r["error"], 1e-12))
    return rows[:WEIGHTS]


def _charts(explained: Mapping[str, Any]) -> list[Chart]:
    drawn: list[Chart] = []
    if "linear" in explained:
        ends = {r["feature"]: (r["weight"], r["low"], r["high"]) for r in _surest(explained)}
        ends.pop(LEVEL, None)
        drawn.append(Intervals(ends, "weight and 95 % interval, nats"))
    if "parts" in explained:
        parts = {p["part"]: p["mean"] for p in explained["parts"]}
        drawn.append(Bars(parts, "mean part of a chosen item's reward, nats"))
    return drawn


def _interval(row: Mapping[str, float] | None) -> str:
    return NOTHING if row is None else f"{row['low']:+.3f} to {row['high']:+.3f}"
