"""The stage `reinforced`: a trained generator moves to where rewards of its slates are higher."""

from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from lightrec.api import Key, RecipeError
from lightrec.data.sequences import Batch
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.slate_law import items_at
from lightrec_generate.generator import Generator
from lightrec_generate.module import GeneratorModule
from lightrec_generate.reinforced_data import ReinforcedData


class ReinforcedModule(GeneratorModule):
    """Moves a trained generator by rewards of slates that it draws for histories of the log.

    For each history G slates are drawn by the generator's law over what may be shown. A slate's
    advantage A is its reward less the mean of the others' (Kool, van Hoof and Welling 2019, "Buy 4
    REINFORCE samples, get a baseline for free!"). What is made small is the mean of -A log π of the
    slates, whose gradient is that of REINFORCE, plus the divergence KL(π, π₀) of what is shown
    first from the generator as it was given, π₀. Divergence and probabilities are exact.

    The best epoch is the one with the highest mean reward of the best slates after validation
    events. Where none is above the beginning, the generator is left as it was given.

    :param num_items: linked from the data.
    :param vector_size: linked from the data.
    :param group: slates G of a history, at least 2.
    :param anchor: weight of the divergence, in rewards a nat.
    :param inverse_temperature: a factor on log-probabilities; above 1 what is drawn, and learned
        by, is nearer to the best slates.
    :param learning_rate: AdamW's, at its highest.
    :param weight_decay: AdamW's, on matrices and embeddings.
    :raises RecipeError: where a group has fewer than two slates to compare.
    """

    monitor: ClassVar[str] = "validation/reward"

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        group: int = 16,
        anchor: float = 0.1,
        inverse_temperature: float = 1.0,
        learning_rate: float = 3e-4,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            num_items, vector_size, learning_rate=learning_rate, weight_decay=weight_decay
        )
        if group < 2:
            raise RecipeError(
                f"group is {group}, and the slates of a group are compared with each other: give 2 "
                "or more."
            )

    def setup(self, stage: str) -> None:
        """Take the trained generator, where no checkpoint has one."""
        if not hasattr(self, "generator"):
            self.generator = Generator.load(self._data.generator)

    @property
    def _data(self) -> ReinforcedData:
        return self.data_of(ReinforcedData)

    @cached_property
    def beginning(self) -> Generator:
        """The generator as it was given, frozen."""
        return Generator.load(self._data.generator).requires_grad_(False).to(self.device)

    def on_fit_start(self) -> None:
        """Load the beginning before anything is validated, which is done in inference mode."""
        assert self.beginning

    def on_train_epoch_start(self) -> None:
        """Drop nothing out: slates are to be drawn by the law that is learned."""
        self.generator.eval()

    def _law(self, generator: Generator, batch: Batch) -> PlackettLuce:
        scores = self.settings.inverse_temperature * generator.scores(batch[Key.HISTORY])
        return PlackettLuce(scores, self._data.may_be_shown(batch), self._data.slate_size)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Draw slates, and compute the loss."""
        law, size = self._law(self.generator, batch), len(batch[Key.TARGET])
        slates = law.sample((self.settings.group,))
        rewards = self._data.paid(batch, items_at(slates))
        self.log("train/reward", rewards.mean(), batch_size=size, on_step=False, on_epoch=True)
        with torch.no_grad():
            first = self._law(self.beginning, batch)
        moved = divergence(law.logits, first.logits).mean()
        gain = (leave_one_out(rewards) * law.log_prob(slates)).mean()
        self.log("train/divergence", moved, batch_size=size, on_step=False, on_epoch=True)
        return self.settings.anchor * moved - gain

    @torch.no_grad()
    def _reward_of_best(self, generator: Generator, batch: Batch) -> Tensor:
        """The rewards ``(B,)`` of the best slates after held-out events."""
        best = items_at(self._law(generator, batch).mode)
        (rewards,) = self._data.paid(batch, best.unsqueeze(0))
        return rewards

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Rank held-out events among all items, and pay for the best slates."""
        super().validation_step(batch, batch_index)
        part = "test" if self.trainer.testing else "validation"
        rewards = self._reward_of_best(self.generator, batch)
        self.log(f"{part}/reward", rewards.mean(), batch_size=len(rewards), sync_dist=True)

    test_step = validation_step

    @torch.no_grad()
    def write(self, folder: Path) -> dict[str, float]:
        """Write the generator, or the one that was given where that is as good or better."""
        reached = {}
        for name, made in (("reward", self.generator), ("reward_at_first", self.beginning)):
            made.cpu().eval()
            paid = [self._reward_of_best(made, batch) for batch in self._data.val_dataloader()]
            reached[f"validation/{name}"] = float(torch.cat(paid).mean())
        if reached["validation/reward"] <= reached["validation/reward_at_first"]:
            self.generator = self.beginning
        return super().write(folder) | reached


def leave_one_out(rewards: Tensor) -> Tensor:
    """Rewards ``(G, B)`` less the mean of the others of their group."""
    return (rewards - rewards.mean(0)) * len(rewards) / (len(rewards) - 1)


def divergence(logits: Tensor, others: Tensor) -> Tensor:
    """KL(p, q) of laws by their logits, (B, C) each; minus infinity for what is forbidden."""
    law, reference = logits.log_softmax(-1), others.log_softmax(-1)
    there = law > -torch.inf
    return (law.exp() * (law - reference).where(there, 0.0)).sum(-1)
