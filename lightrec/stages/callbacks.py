"""What watches the training of every stage: seeds by epoch, and one progress bar."""

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ProgressBar
from tqdm.auto import tqdm

from lightrec.progress import progress_bar


class EpochSeed(Callback):
    """Seeds every epoch by itself, so that a resumed run draws what an unbroken one would."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop at once where the checkpoint was written after early stopping had decided."""
        for callback in trainer.early_stopping_callbacks:
            if isinstance(callback, EarlyStopping) and callback.wait_count >= callback.patience:
                trainer.should_stop = True

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seed torch from the run's seed and the epoch's number."""
        torch.manual_seed(self.seed * 1_000_003 + trainer.current_epoch)


class StageProgress(ProgressBar):
    """One bar for a whole stage, instead of two for every epoch, with the monitored metric."""

    bar: "tqdm[Any]"

    def __init__(self, monitor: str) -> None:
        super().__init__()
        self.monitor = monitor

    def disable(self) -> None:
        """Nothing: processes other than the first open a bar that does not show."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar where training begins or continues."""
        batches = int(trainer.num_training_batches)
        self.bar = progress_bar(
            batches * (trainer.max_epochs or 1),
            "step",
            initial=batches * trainer.current_epoch,
            disable=not trainer.is_global_zero,
        )

    def on_train_batch_end(self, *_: Any) -> None:
        """Count a batch."""
        self.bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the epoch's metric."""
        value = trainer.callback_metrics.get(self.monitor)
        shown = {} if value is None else {self.monitor: f"{float(value):.4f}"}
        self.bar.set_postfix({"epoch": trainer.current_epoch + 1, **shown}, refresh=False)

    def on_train_end(self, *_: Any) -> None:
        """Close the bar."""
        self.bar.close()

    def on_exception(self, *_: Any) -> None:
        """Close the bar, if it is open, so that the error stands on a line of its own."""
        if hasattr(self, "bar"):
            self.bar.close()
