"""TensorBoard's view of a training beyond metrics: steps, histograms, lists and vectors."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import lightning.pytorch as pl
import numpy as np
import polars
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from lightrec.data.stage_data import LogData, StageData
from lightrec.data.store import VALIDATION, EventStore, padded
from lightrec.keys import Column
from lightrec.nn.stage import AfterTraining, StageModule

LISTED: Final = 10
"""Users whose lists are shown, and items of a list."""
LATEST: Final = 5
HISTORY: Final = 100
SHOWN_ITEMS: Final = 10_000
"""Items in the projector at most, those with most training events."""
PROJECTOR: Final = (
    'embeddings { tensor_name: "items" tensor_path: "items.tsv" metadata_path: "metadata.tsv" }\n'
)
HISTOGRAMS: Final = 5
"""Number of histograms of a training, about."""
VALUES: Final = 10_000
"""Number of values of a histogram at most."""
BINS: Final = 64


class Curves(Callback):
    """Writes what happens at single steps, and what lists a stage would recommend by now.

    Steps 0 to 127 are all written, after that 64 for every doubling, so that long trainings cost
    little more than short ones. Nothing is drawn from a generator.
    """

    def __init__(self) -> None:
        self._norms: dict[int, Tensor] = {}

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at gradients before a module that steps by itself clips them."""
        if not pl_module.automatic_optimization and self._is_due(trainer):
            self._norms = {id(each): _norm(each) for each in trainer.optimizers}

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Write learning rate, gradient norm, and all that the module has noted for this step."""
        latest = cast(StageModule, pl_module).latest
        noted = dict(latest)
        latest.clear()
        if not self._is_due(trainer):
            return
        number = trainer.optimizers.index(optimizer)
        mark = f"_{number + 1}" if number else ""
        values = {name.partition("/")[2]: x for name, x in noted.items() if name[:6] == "train/"}
        values[f"learning_rate{mark}"] = optimizer.param_groups[0]["lr"]
        values[f"gradient_norm{mark}"] = self._norms.pop(id(optimizer), None) or _norm(optimizer)
        writer = cast(TensorBoardLogger, trainer.logger).experiment
        for name, value in values.items():
            writer.add_scalar(f"step/{name}", float(value), trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the lists of an epoch and, now and then, histograms."""
        if not self._writes(trainer) or trainer.sanity_checking:
            return
        module, epoch = cast(StageModule, pl_module), trainer.current_epoch
        writer = cast(TensorBoardLogger, trainer.logger).experiment
        data = getattr(trainer, "datamodule", None)
        if isinstance(data, LogData):
            with torch.random.fork_rng():
                if lists := sample_lists(module, data.store):
                    writer.add_text("lists", lists, epoch)
        if epoch % max(1, (trainer.max_epochs or 1) // HISTOGRAMS):
            return
        vectors = module.item_vectors()
        if vectors is not None:
            writer.add_histogram("items/norm", vectors[1:].float().norm(dim=1).cpu(), epoch, BINS)
        for name, values in module.named_parameters():
            if values.requires_grad and values.ndim > 1 and values.numel():
                taken = values.detach().flatten()[:: max(1, values.numel() // VALUES)]
                writer.add_histogram(f"weights/{name}", taken.float().cpu(), epoch, BINS)

    def _writes(self, trainer: pl.Trainer) -> bool:
        # Parameters that are spread over processes cannot be read by one of them alone.
        whole = trainer.world_size == 1 or isinstance(trainer.strategy, DDPStrategy)
        return trainer.is_global_zero and isinstance(trainer.logger, TensorBoardLogger) and whole

    def _is_due(self, trainer: pl.Trainer) -> bool:
        step = trainer.global_step
        return step % (1 << max(0, step.bit_length() - 7)) == 0 and self._writes(trainer)


def _norm(optimizer: Optimizer) -> Tensor:
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    return get_total_norm([p.grad.float() for p in parameters if p.grad is not None])


def sample_lists(module: StageModule, store: EventStore) -> str:
    """Set the lists of ten users as Markdown; empty where the module ranks no items for histories.

    A user's history ends with training; what was held out for validation then came next.
    """
    ends = store.train_ends()
    users = np.flatnonzero(ends > store.offsets[:-1])
    users = users[np.linspace(0, len(users) - 1, LISTED).astype(int)] if len(users) else users
    users = np.unique(users)
    histories = torch.from_numpy(store.histories(users, ends[users], HISTORY)).to(module.device)
    scores = module.scores_of(histories) if len(users) else None
    if scores is None:
        return ""
    seen = padded(store.seen, store.offsets[users], ends[users], HISTORY)
    seen *= seen < scores.shape[1]
    scores = scores.scatter(1, torch.from_numpy(seen).to(scores.device), -torch.inf)
    best = scores.topk(min(LISTED, scores.shape[1] - 1)).indices.tolist()
    titles = _titles(store)
    rows = ["| user | came last | list, best first | came next |", "| --- " * 4 + "|"]
    for user, history, items in zip(users, histories.tolist(), best, strict=True):
        end = ends[user]
        has_next = end < store.offsets[user + 1] and store.parts[end] == VALIDATION
        following = int(store.items[end]) % (store.num_items + 1) if has_next else 0
        said = [f"**{titles[i]}**" if i == following else titles[i] for i in items]
        past = [titles[i] for i in history[-LATEST:] if 0 < i < len(titles)]
        cells = [_plain(store.user_ids[int(user)]), " · ".join(past), "<br>".join(said)]
        rows.append(f"| {' | '.join([*cells, titles[following]])} |")
    return "\n".join(rows)


def _titles(store: EventStore) -> list[str]:
    """All items' titles, or else ids, in one line each; the first is that of padding."""
    shown = store.catalog.select(polars.coalesce(Column.TITLE, Column.ITEM))
    return ["", *map(_plain, shown.to_series())]


def _plain(text: str) -> str:
    """Take out what would end a cell of Markdown or a line of a table."""
    return re.sub(r"[\s|*_<>]+", " ", text)


class Board(AfterTraining):
    """Curves and lists while a stage trains, its item vectors with their titles at its end."""

    def __init__(self) -> None:
        self.watcher = Curves()

    def add(
        self, module: StageModule, data: StageData, folder: Path, logs: Path
    ) -> Mapping[str, float]:
        """Write the item vectors of what learns from a log; no metrics."""
        if isinstance(data, LogData):
            write_items(module, data.store, logs)
        return {}


@torch.no_grad()
def write_items(module: StageModule, store: EventStore, logs: Path) -> None:
    """Write item vectors for the PROJECTOR tab, with titles, categories and training events."""
    vectors = module.item_vectors()
    if vectors is None or len(vectors) != store.num_items + 1:
        return
    popularity = store.popularity()
    shown = np.sort(np.argsort(-popularity[1:], kind="stable")[:SHOWN_ITEMS]) + 1
    columns = {
        "title": np.array(_titles(store), dtype=object)[shown].tolist(),
        "item": store.catalog[Column.ITEM].gather(shown - 1),
        "events": popularity[shown],
    }
    if (category := store.category()) is not None:
        words = category.fill_null("").str.replace_all(r"\s+", " ")
        columns["category"] = words.gather(shown - 1)
    logs.mkdir(parents=True, exist_ok=True)
    values = polars.DataFrame(vectors[torch.from_numpy(shown)].float().cpu().numpy())
    plain: dict[str, Any] = {"separator": "\t", "quote_style": "never"}
    values.write_csv(logs / "items.tsv", include_header=False, float_precision=5, **plain)
    polars.DataFrame(columns).write_csv(logs / "metadata.tsv", **plain)
    (logs / "projector_config.pbtxt").write_text(PROJECTOR)
