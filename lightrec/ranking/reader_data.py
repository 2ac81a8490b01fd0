"""The stage `reader`'s data: events with what the first stage puts first, to learn and judge by."""

from functools import cached_property

import torch
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from lightrec.data.sequences import Sequences
from lightrec.data.share import present_share
from lightrec.data.stage_data import LogData
from lightrec.data.store import TRAIN
from lightrec.errors import DataError
from lightrec.ranking.blend import Blend
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.language_readers import words_of_items
from lightrec.ranking.reranking import DEPTH, Lists, lists_of


class ReaderData(LogData):
    """What the first stage puts first at events: longer lists to learn from, others to judge by.

    :param data: folder of the prepared log.
    :param ranker: folder of the stage `ranker`, whose blend is the first stage.
    :param hard: items of a list to learn from.
    :param batch_size: training events in a batch, of all processes together.
    :param max_trained: at most so many training events, drawn by the seed; those whose list holds
        what came are learned from.
    :param max_judged: at most so many validation events, and as many test events.
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
        """What is read of each item: N + 1 strings."""
        return words_of_items(self.store)

    def lists(self, part: int) -> Lists:
        """Give the first stage's lists at some events of a part, all of which have a history."""
        train = part == TRAIN
        log, events = Sequences.all_events(self.store), Sequences.targets(self.store, part)
        events = events.only(events.ends > log.offsets[:-1][events.users])
        limit = self.max_trained if train else self.max_judged
        batches = EvaluationEvents(log, events, None, 128, limit, self.seed)
        return lists_of(self.first, batches, self.hard if train else DEPTH)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        """Histories (B, L), lists (B, H) and what came (B,), in an order of seed and epoch.

        :raises DataError: where there is nothing to learn from.
        """
        lists, share = self.lists(TRAIN), present_share()
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
