"""The stage `reader`: its data, and how a language model learns to re-rank the first stage."""

import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from lightrec.data.sequences import Sequences
from lightrec.data.share import present_share
from lightrec.data.stage_data import LogData
from lightrec.data.store import TEST, VALIDATION
from lightrec.errors import DataError
from lightrec.keys import PADDING
from lightrec.nn.stage import StageModule, warm_cosine
from lightrec.ranking.blend import Blend
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec_generate.language_readers import LanguageReader, words_of_items
from lightrec_generate.reranking import DEPTH, Lists, choose_weight, lists_of


class ReaderModule(StageModule):
    """Trains a language model to tell what came from what the first stage expected.

    The loss is the cross-entropy of a softmax over a group: what came at an event, and others of
    what the first stage puts first. The best epoch is the one whose reader, alone, puts what came
    first in other users' lists. What its score counts beside the first stage's is chosen for
    NDCG@10 there, and is 0 where it does not help.

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
        """The loss, whose mean over the epoch is logged."""
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
        metrics = lists.only(lists.listed).ranked(read[lists.listed]).metrics([DEPTH])
        self.log(self.monitor, metrics[f"mrr@{DEPTH}"], batch_size=1, sync_dist=True)

    def read(self, lists: Lists) -> Tensor:
        """Score lists' items, (E, C) on the CPU; 0 where what came is not listed, a miss anyway."""
        scores, listed = torch.zeros_like(lists.scores), lists.only(lists.listed)
        histories, items = listed.histories.to(self.device), listed.items.to(self.device)
        words = self.data_of(ReaderData).words
        scores[lists.listed] = self.reader.read(histories, items, words).cpu()
        return scores

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW on what is trained."""
        trained, settings = [p for p in self.reader.parameters() if p.requires_grad], self.settings
        rate, decay = settings.learning_rate, settings.weight_decay
        optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=decay)
        return self.scheduled(optimizer, warm_cosine)

    def write(self, folder: Path) -> dict[str, float]:
        """Write the reader, and what re-ranking by it brings at test events."""
        self.reader.save_pretrained(folder)
        lists, weight = self.data_of(ReaderData).lists(TEST), float(self.reader.weight)
        metrics = {"reader/weight": weight, "test/events": float(len(lists.users))}
        said = "The reader does not improve the ranking of validation events: it has no weight."
        if weight:
            plain = lists.ranked(lists.scores)
            result = lists.ranked(lists.scores + weight * self.read(lists))
            gain = result.bootstrap(plain)
            values = [each.metrics([10])["ndcg@10"] for each in (plain, result)]
            names = [f"test/{name}/ndcg@10" for name in ("first", "reader")]
            names += [f"test/reader-minus-first/ndcg@10{end}" for end in ("", "/low", "/high")]
            metrics |= dict(zip(names, [*values, *gain], strict=True))
            said = (
                f"The reader re-ranks the first {DEPTH} items: NDCG@10 {values[1]:.4f} instead of "
                f"{values[0]:.4f} at {len(lists.users):,} test events ({gain.mean:+.4f}, 95 % "
                f"interval {gain.low:+.4f} to {gain.high:+.4f})."
            )
        (folder / "summary.txt").write_text(f"{said}\n", encoding="utf-8")
        print(said, file=sys.stderr)
        return metrics


class ReaderData(LogData):
    """The first stage's lists at events: longer ones to learn from, others to judge by.

    The first stage has learned what came at training events, and lists it there as nowhere else. So
    a reader learns from validation events of two users in three, and the third's judge.

    :param data: folder of the prepared log.
    :param ranker: folder of the stage `ranker`, whose blend is the first stage.
    :param hard: items of a list to learn from.
    :param batch_size: events in a batch, of all processes together.
    :param max_trained: at most so many events to learn from, drawn by the seed; those whose list
        holds what came are learned from.
    :param max_judged: at most so many validation events to judge by, and as many test events.
    :param seed: of the draws and the order.
    """

    def __init__(
        self,
        data: str,
        ranker: str,
        hard: int = 50,
        batch_size: int = 8,
        max_trained: int = 4_000,
        max_judged: int = 2_000,
        seed: int = 0,
    ) -> None:
        super().__init__(data)
        self.ranker, self.hard, self.batch_size = ranker, hard, batch_size
        self.max_trained, self.max_judged, self.seed = max_trained, max_judged, seed

    @cached_property
    def first(self) -> Blend:
        """The first stage."""
        return Blend.load(self.ranker)

    @property
    def vectors(self) -> Tensor:
        """(N + 1, V) float32: the text vectors that the ranker reads."""
        return self.first.ranker.items.vectors

    @cached_property
    def words(self) -> list[str]:
        """The words of each item: N + 1 strings."""
        return words_of_items(self.store)

    def lists(self, part: int, learn: bool = False) -> Lists:
        """The first stage's lists at some events of a part, all of which have a history.

        :param part: TEST, or VALIDATION for events to judge by or to learn from.
        """
        log, events = Sequences.all_events(self.store), Sequences.targets(self.store, part)
        events = events.only(events.ends > log.offsets[:-1][events.users])
        if part == VALIDATION:
            events = events.thirds()[learn]
        limit = self.max_trained if learn else self.max_judged
        batches = EvaluationEvents(log, events, None, 128, limit, self.seed)
        return lists_of(self.first, batches, self.hard if learn else DEPTH)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        """Histories (B, L), lists (B, H) and what came (B,), in an order of seed and epoch.

        :raises DataError: where there is nothing to learn from.
        """
        lists, share = self.lists(VALIDATION, learn=True), present_share()
        # What came is to be told from what the first stage ranks as high, and not by how popular
        # it is: where it is not listed, it is mostly less popular than all that is.
        lists = lists.only(lists.listed)
        if not len(lists.users) or not any(self.words):
            what = "no list holds what came" if any(self.words) else "no item has words"
            raise DataError(
                f"A reader learns from items' words what follows on what, and {what}: give titles "
                "or texts in an item table, or a longer log.",
                source=self.data,
            )
        events = TensorDataset(lists.histories, lists.items, lists.targets)
        order: DistributedSampler[object] = DistributedSampler(
            events, share.world, share.rank, seed=self.seed
        )
        size = max(self.batch_size // share.world, 1)
        # Its own generator, as in the ranker's data: a resumed run would draw at another moment.
        return DataLoader(events, size, sampler=order, generator=torch.Generator())

    def val_dataloader(self) -> DataLoader[int]:
        """One batch, which says nothing: the module reads all lists at once."""
        return DataLoader([0], batch_size=None)  # type: ignore[arg-type]
