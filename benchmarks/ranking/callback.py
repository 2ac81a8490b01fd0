"""Measures lightrec's ranker stage as the peers are measured: a callback for its recipe."""

import lightning.pytorch as pl
import torch

from benchmarks.ranking.peers.protocol import Course, Split, last
from lightrec.keys import PADDING, Key


class TrainingCourse(pl.Callback):
    """CPU seconds without validation, and the peers' protocol after each epoch.

    The clock starts before embeddings get their start from the log, so that this is counted.

    :param split: the .npz file.
    :param out: where the course is written.
    :param max_length: how many of a history's last items are read, as in the recipe.
    """

    def __init__(self, split: str, out: str, max_length: int) -> None:
        self.course, self.out = Course(Split(split), patience=1_000), out
        self.max_length = max_length

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        torch.set_num_threads(1)
        self.course.start()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.course.pause()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        def score(users, histories):
            table = last(histories, self.max_length, PADDING, shift=1)
            return pl_module.scores({Key.HISTORY: torch.from_numpy(table)})[:, 1:].numpy()

        self.course.epoch(score)
        own = float(trainer.callback_metrics["validation/ndcg@10"])
        if abs(own - self.course.curve[-1][1]) > 1e-4:
            raise ValueError(
                f"lightrec says that validation NDCG@10 is {own:.5f}, the protocol that it is "
                f"{self.course.curve[-1][1]:.5f}."
            )
        self.course.start()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.course.write(self.out, {}, ["lightning", "torch", "numpy"])
