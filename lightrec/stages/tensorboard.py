"""The rows that TensorBoard shows of stages and runs: flat settings, and final metrics."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from lightrec.settings import lay, nested
from lightrec.stages import recipes


def flat(settings: recipes.Recipe, above: str = "") -> dict[str, str | float]:
    """Write nested settings flat, such as ``model.tower.layers``; what is null is left out."""
    rows: dict[str, str | float] = {}
    for path, value in recipes.flat(settings, above):
        words = path.split(".")
        if words[-1] == "class_path":
            value = str(value).rpartition(".")[2]
        name = ".".join(word for word in words if word not in ("init_args", "class_path"))
        if value is not None:
            rows[name] = value if isinstance(value, str | bool | int | float) else str(value)
    return rows


def of_run(stamps: Mapping[str, Mapping[str, Any]]) -> dict[str, str | float]:
    """The settings of a run's stages, those given on the line among them.

    :param stamps: what ``stage.json`` says, by stage.
    """
    rows: dict[str, str | float] = {}
    for stage, facts in stamps.items():
        chosen = recipes.settings(facts["recipe"])
        lay(chosen, nested(facts["overrides"]))
        rows |= flat(chosen, f"{stage}.")
    return rows


def write_final(
    logs: Path, settings: Mapping[str, str | float], metrics: Mapping[str, float]
) -> None:
    """Fill a row of the HPARAMS tab: flat settings, and final metrics, each written once.

    They are a run of their own below the stage's, so that the tab's columns are these metrics
    alone. No list of columns is written: TensorBoard would take one stage's for those of all.
    """
    named = {f"final/{name}": value for name, value in metrics.items()}
    with SummaryWriter(str(logs / "final")) as writer:
        for summary in hparams(dict(settings), named)[1:]:
            writer._get_file_writer().add_summary(summary)
        for name, value in named.items():
            writer.add_scalar(name, value)
