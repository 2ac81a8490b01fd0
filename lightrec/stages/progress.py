"""One progress bar for a whole stage, instead of two for every epoch."""

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar
from tqdm.auto import tqdm

from lightrec.progress import progress_bar


class StageProgress(ProgressBar):
    """Counts the batches of all epochs and shows the monitored metric.

    :param monitor: the metric to show.
    """

    def __init__(self, monitor: str) -> None:
        super().__init__()
        self.monitor = monitor
        self._bar: tqdm[Any] | None = None

    def disable(self) -> None:
        """Show nothing, as on all processes but the first."""
        self._bar = None
        self._enabled = False

    def enable(self) -> None:
        """Show the bar."""
        self._enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar where training begins or goes on."""
        batches = int(trainer.num_training_batches)
        epochs = trainer.max_epochs or 1
        self._bar = progress_bar(
            batches * epochs,
            "step",
            initial=batches * trainer.current_epoch,
            disable=not getattr(self, "_enabled", True),
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *arguments: Any
    ) -> None:
        """Count a batch."""
        if self._bar is not None:
            self._bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the epoch's metric."""
        if self._bar is not None:
            value = trainer.callback_metrics.get(self.monitor)
            shown = {} if value is None else {self.monitor: f"{float(value):.4f}"}
            self._bar.set_postfix({"epoch": trainer.current_epoch + 1, **shown}, refresh=False)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
