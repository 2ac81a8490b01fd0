"""The stage `generator`: its data, and how a generator learns to write what comes next."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from lightrec.api import PADDING, Column, Key, RecipeError, by_history
from lightrec.data.sequences import Batch
from lightrec.nn.precision import full_precision
from lightrec.ranking.blending import judge, validation_events
from lightrec.ranking.module import RankedStage
from lightrec.ranking.sequence_data import SequenceData
from lightrec_generate.generator import Generator
from lightrec_generate.identifiers import Identifiers
from lightrec_generate.tree import TreeGenerator


class GeneratorData(SequenceData):
    """Histories of a prepared log, and the identifiers of its items.

    :param data: folder of the prepared log.
    :param identifiers: folder of the stage `identifiers`.
    :param generator: folder of a trained generator that training continues with; null for none.
    :param max_length: positions in a training window and in an evaluated history.
    :param batch_size: training windows in a batch.
    :param evaluation_batch_size: held-out events in a batch.
    :param max_validated: at most so many validation events are ranked; null for all of them.
    :param seed: of the order and the draws.
    """

    def __init__(
        self,
        data: str,
        identifiers: str,
        generator: str | None = None,
        max_length: int = 50,
        batch_size: int = 128,
        evaluation_batch_size: int = 128,
        max_validated: int | None = 20_000,
        seed: int = 0,
    ) -> None:
        super().__init__(
            data,
            max_length=max_length,
            batch_size=batch_size,
            evaluation_batch_size=evaluation_batch_size,
            max_validated=max_validated,
            seed=seed,
        )
        self.folder, self.generator = identifiers, generator

    @cached_property
    def identifiers(self) -> Identifiers:
        """The identifiers."""
        return Identifiers.load(self.folder)


class GeneratorModule(RankedStage):
    """Trains a :class:`~lightrec_generate.generator.Generator` by the likelihood of what came.

    Only items that exist take part in the loss. Items are ranked by the exact law.

    :param num_items: linked from the data.
    :param vector_size: linked from the data.
    :param generator: makes the generator, such as ``{class_path: ParallelGenerator}``, which takes
        the weights of the data's where there is one; null for that one itself, or a TreeGenerator.
    :param learning_rate: AdamW's, at its highest.
    :param weight_decay: AdamW's, on matrices and embeddings.
    :param without_dropout: share of the epochs, the last ones, that are trained without dropout, as
        events are ranked.
    """

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        generator: Callable[[Identifiers], Generator] | None = None,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        without_dropout: float = 0.0,
    ) -> None:
        super().__init__(num_items, vector_size)
        self.save_hyperparameters()
        self.make = generator

    def setup(self, stage: str) -> None:
        """Make the generator around the identifiers, and count the training events."""
        if hasattr(self, "generator"):
            return
        data = self.data_of(GeneratorData)
        earlier = None if data.generator is None else Generator.load(data.generator)
        if earlier is not None and self.make is None:
            self.generator = earlier.train()
            return
        self.generator = (self.make or TreeGenerator)(data.identifiers)
        counts = torch.from_numpy(data.store.popularity())
        rows = data.store.catalog.select(Column.TITLE, Column.TEXT).iter_rows()
        words = (" ".join((title or text or "").split()) for title, text in rows)
        self.generator.start(counts, ["", *words])
        if earlier is not None:
            try:
                self.generator.load_state_dict(dict(earlier.named_parameters()), strict=False)
            except RuntimeError as error:
                raise RecipeError(
                    f"The {type(earlier).__name__} to continue from does not fit: give both the "
                    "same classes and sizes."
                ) from error

    def on_train_epoch_start(self) -> None:
        """Drop out no more in the last epochs."""
        done = self.trainer.global_step / self.trainer.estimated_stepping_batches
        if done + self.settings.without_dropout > 1 - 1e-9:  # done is a sum of floats
            self.generator.eval()

    def loss(self, batch: Batch) -> Tensor:
        """Mean loss over a training batch's targets, a scalar."""
        target = batch[Key.TARGET]
        there = target != PADDING
        states = self.generator.states(batch[Key.HISTORY])[there]
        # A law in fewer bits would rank many items alike.
        with full_precision(self.device):
            return self.generator.loss(states.float(), target[there])

    def scores(self, batch: Batch) -> Tensor:
        """Score all items for a batch's histories: (B, N + 1)."""
        return self.generator.scores(batch[Key.HISTORY])

    @torch.no_grad()
    def write(self, folder: Path) -> dict[str, float]:
        """Write the generator, and how it ranks validation events."""
        self.generator.eval().save_pretrained(folder)
        data = self.data_of(GeneratorData)
        means = judge(by_history(self.generator.cpu()), validation_events(data, data.max_validated))
        return {f"validation/{name}": value for name, value in means.items()}
