"""TensorBoard's view of a training beyond metrics: lists while it continues, vectors at its end."""

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

from lightrec.api import AfterTraining, Column, LogData, StageData, StageModule, Table
from lightrec.data.store import VALIDATION, EventStore, padded

LISTED: Final = 10
"""Users whose lists are shown, and items of a list."""
LATEST: Final = 5
HISTORY: Final = 100
SHOWN_ITEMS: Final = 10_000
"""Items in the projector at most, those with most training events."""
PROJECTOR: Final = (
    'embeddings { tensor_name: "items" tensor_path: "items.tsv" metadata_path: "metadata.tsv" }\n'
)


class Watcher(Callback):
    """Writes what lists a stage would recommend by now. Nothing is drawn from a generator."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the lists of an epoch."""
        # Parameters that are spread over processes cannot be read by one of them alone.
        whole = trainer.world_size == 1 or isinstance(trainer.strategy, DDPStrategy)
        data = getattr(trainer, "datamodule", None)
        if not (trainer.is_global_zero and whole and isinstance(data, LogData)):
            return
        if isinstance(trainer.logger, TensorBoardLogger) and not trainer.sanity_checking:
            with torch.random.fork_rng():
                if lists := sample_lists(cast(StageModule, pl_module), data.store):
                    trainer.logger.experiment.add_text("lists", lists, trainer.current_epoch)


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
    titles, rows = _titles(store), []
    for user, history, items in zip(users, histories.tolist(), best, strict=True):
        end = ends[user]
        has_next = end < store.offsets[user + 1] and store.parts[end] == VALIDATION
        following = int(store.items[end]) % (store.num_items + 1) if has_next else 0
        said = [f"**{titles[i]}**" if i == following else titles[i] for i in items]
        past = [titles[i] for i in history[-LATEST:] if 0 < i < len(titles)]
        cells = [_plain(store.user_ids[int(user)]), " · ".join(past), "<br>".join(said)]
        rows.append([*cells, titles[following]])
    return Table(["user", "came last", "list, best first", "came next"], rows).markdown()


def _titles(store: EventStore) -> list[str]:
    """All items' titles, or else ids, in one line each; the first is that of padding."""
    shown = store.catalog.select(polars.coalesce(Column.TITLE, Column.ITEM))
    return ["", *map(_plain, shown.to_series())]


def _plain(text: str) -> str:
    """Take out what would end a cell of Markdown or a line of a table."""
    return re.sub(r"[\s|*_<>]+", " ", text)


class Board(AfterTraining):
    """Lists while a stage trains, its item vectors with their titles at its end."""

    watcher = Watcher()

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
