"""The stage `reader`'s LightningModule: a language model learns to re-rank the first stage."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from lightrec.data.store import TEST, VALIDATION
from lightrec.keys import PADDING
from lightrec.nn.stage import StageModule, warm_cosine
from lightrec.ranking.language_readers import LanguageReader
from lightrec.ranking.reader_data import ReaderData
from lightrec.ranking.reranking import DEPTH, Lists, choose_weight


class ReaderModule(StageModule):
    """Trains a language model to tell what came from what the first stage expected.

    The loss is the cross-entropy of a softmax over a group: what came at a training event, and
    others of what the first stage puts first. The best epoch is the one whose reader, alone, puts
    what came first in validation lists. What its score counts beside the first stage's is chosen
    for NDCG@10 there, and is 0 where it does not help.

    :param num_items: linked from the data.
    :param vector_size: linked from the data.
    :param reader: what is trained: a ``PairClassifier`` or a ``Decoder``.
    :param group: items of a group.
    :param learning_rate: AdamW's, at its highest.
    :param weight_decay: AdamW's.
    """

    monitor: ClassVar[str] = "validation/mrr@20"
    mode: ClassVar[Literal["min", "max"]] = "max"

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        reader: LanguageReader,
        group: int = 4,
        learning_rate: float = 2e-4,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(num_items, vector_size)
        self.save_hyperparameters()
        self.reader = reader.train()

    def training_step(self, batch: Sequence[Tensor], batch_index: int) -> Tensor:
        """Give the loss and log its mean over the epoch."""
        loss, size = self.loss(*batch), len(batch[0])
        self.log("train/loss", loss, batch_size=size, on_step=False, on_epoch=True, sync_dist=True)
        return loss

    def loss(self, histories: Tensor, items: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of what came (B,) among others drawn from lists (B, H), a scalar."""
        wrong = (items != targets[:, None]) & (items != PADDING)
        chance = torch.rand(items.shape, device=items.device).masked_fill(~wrong, -1)
        drawn = chance.topk(min(self.settings.group - 1, items.shape[1]), dim=1)
        others = items.gather(1, drawn.indices).masked_fill(drawn.values < 0, PADDING)
        group = torch.cat([targets[:, None], others], 1)
        scores = self.reader.scores(histories, group, self.data_of(ReaderData).words)
        scores = scores.masked_fill(group == PADDING, -torch.inf)
        return (scores.logsumexp(1) - scores[:, 0]).mean()

    def validation_step(self, batch: object, batch_index: int) -> None:
        """Read the lists of validation events, and choose the weight; so does every process."""
        lists = self.data_of(ReaderData).lists(VALIDATION)
        read = self.read(lists)
        self.reader.weight.fill_(choose_weight(lists, read))
        found = lists.only(lists.listed).ranked(read[lists.listed]).metrics([DEPTH])
        self.log(self.monitor, found[f"mrr@{DEPTH}"], batch_size=1, sync_dist=True)

    def read(self, lists: Lists) -> Tensor:
        """Score lists' items, (E, C) on the CPU; 0 where what came is not listed, a miss anyway."""
        found, own = torch.zeros_like(lists.scores), lists.only(lists.listed)
        histories, items = own.histories.to(self.device), own.items.to(self.device)
        words = self.data_of(ReaderData).words
        found[lists.listed] = self.reader.read(histories, items, words).cpu()
        return found

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW on what is trained."""
        trained, given = [p for p in self.reader.parameters() if p.requires_grad], self.settings
        rate, decay = given.learning_rate, given.weight_decay
        optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=decay)
        return self.scheduled(optimizer, warm_cosine)

    def write(self, folder: Path) -> dict[str, float]:
        """Write the reader, and what re-ranking by it brings at test events."""
        self.reader.save_pretrained(folder)
        lists, weight = self.data_of(ReaderData).lists(TEST), float(self.reader.weight)
        found = {"reader/weight": weight, "test/events": float(len(lists.users))}
        said = "The reader does not improve the ranking of validation events: it has no weight."
        if weight:
            plain = lists.ranked(lists.scores)
            result = lists.ranked(lists.scores + weight * self.read(lists))
            gain = result.bootstrap(plain)
            values = [each.metrics([10])["ndcg@10"] for each in (plain, result)]
            names = [f"test/{name}/ndcg@10" for name in ("first", "reader")]
            names += [f"test/reader-minus-first/ndcg@10{end}" for end in ("", "/low", "/high")]
            found |= dict(zip(names, [*values, *gain], strict=True))
            said = (
                f"The reader re-ranks the first {DEPTH} items: NDCG@10 {values[1]:.4f} instead of "
                f"{values[0]:.4f} at {len(lists.users):,} test events ({gain.mean:+.4f}, 95 % "
                f"interval {gain.low:+.4f} to {gain.high:+.4f})."
            )
        (folder / "summary.txt").write_text(f"{said}\n", encoding="utf-8")
        print(said, file=sys.stderr)
        return found
