"""lightrec's ranker stage of ids alone, measured as the peers are: by a callback of its recipe."""

import json

import lightning.pytorch as pl
import torch

from benchmarks.measure import Cell
from benchmarks.peers.protocol import Course, Split, last
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

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.course.write(self.out, {}, ["lightning", "torch", "numpy"])


def measure(cell: Cell) -> dict:
    """Train by the shipped recipe with the sizes that are asked of all."""
    length, name = str(cell.settings.get("length", 100)), "--ranker.trainer.callbacks"
    settings = {
        "data.init_args.text_encoder": "null",
        "data.init_args.max_length": length,
        "model.init_args.max_length": length,
        "model.init_args.size": "64",
        "trainer.accelerator": "cpu",
    }
    words = [part for key, value in settings.items() for part in (f"--ranker.{key}", value)]
    course = {"split": cell["split"], "out": cell.out / "course.json", "max_length": length}
    words += ["--ranker.model.init_args.start", "cooccurrence", *cell.options]
    words += [f"{name}+={__name__}.TrainingCourse", *(f"{name}.{n}={v}" for n, v in course.items())]
    cell.run(*cell.settings.get("prepared", ["video"]), *words, "--until", "ranker")
    return json.loads((cell.out / "course.json").read_text())
