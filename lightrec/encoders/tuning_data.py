"""The data of the stage `text`: which texts go with which, and events of items held out of that."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import DataLoader, Dataset

from lightrec.blame import provider
from lightrec.data.sequences import Sequences, Targets, padded
from lightrec.data.share import RowSampler
from lightrec.data.stage_data import LogData
from lightrec.data.store import TRAIN, VALIDATION
from lightrec.encoders.base import Encoder, encoded, item_vectors
from lightrec.encoders.text import TextEncoder
from lightrec.encoders.worth import Choices
from lightrec.errors import NotApplicable
from lightrec.nn.cooccurrence import cooccurrence

Batch: TypeAlias = dict[str, Tensor]
MIN_TEXTS: Final = 300
"""Fewer texts that go with others say too little of what goes with what."""
MIN_EVENTS: Final = 100
"""Fewer events cannot tell whether the vectors have become better."""
HISTORY: Final = 50
"""Items of a history that are compared with those held out."""
RANKED: Final = 20_000
"""Validation events, at most, that tell whether tuned vectors rank better than frozen ones."""
JUDGED: Final = 256
"""Events judged at once."""


@dataclass(frozen=True)
class Examples:
    """Facts of a log about its items' texts, each different text once.

    :param texts: D different texts, the most popular ones; text number d, from 1, is
        ``texts[d - 1]``.
    :param numbers: (N + 1,) int64, of each item its text's number; 0 where it has none of them.
    :param trained: (M,) int64, numbers of the texts trained on.
    :param targets: (M, M) float32: what share of the events near a text each other one has; a row
        sums to 1, or to 0 where a text stands alone.
    :param shares: (M,) float32: how popular the texts are, as shares of all these events.
    :param held_out: (H,) int64, numbers of warm texts that are not trained on.
    :param histories: (E, L) int64, numbers of the texts before events, padded on the left.
    :param chosen: (E,) int64: which of ``held_out`` was chosen.
    :param follows: (D + 1, D + 1) float32: how much a text says that another comes next.
    :param validation: events, of the users whose events choose the best epoch, and of others.
    """

    texts: list[str]
    numbers: NDArray[np.int64]
    trained: NDArray[np.int64]
    targets: "scipy.sparse.csr_array"
    shares: NDArray[np.float32]
    held_out: NDArray[np.int64]
    histories: NDArray[np.int64]
    chosen: NDArray[np.int64]
    follows: "scipy.sparse.csr_array"
    validation: tuple[Choices, Choices]


class TextLogData(LogData):
    """The data of a stage over a prepared log whose texts an encoder reads; it may be None."""

    def __init__(self, data: str, text_encoder: Encoder | None) -> None:
        super().__init__(data)
        self.text_encoder = text_encoder

    @property
    def vector_size(self) -> int:
        """Length of the text vectors; 0 without a text encoder."""
        return 0 if self.text_encoder is None else self.text_encoder.size

    @cached_property
    def vectors(self) -> Tensor:
        """(N + 1, vector_size) float32; zeros for padding and for items without a text."""
        if self.text_encoder is None:
            return torch.zeros(self.num_items + 1, 0)
        return item_vectors(self.text_encoder, self.store.catalog)

    @cached_property
    def histories(self) -> Sequences:
        """All events that may stand in a history."""
        return Sequences.all_events(self.store)


class TextData(TextLogData):
    """The texts of a prepared log's items, and what stands near what in its training events.

    :param data: folder of the prepared log.
    :param text_encoder: what is tuned; null does without.
    :param batch_size: texts in a batch, of all processes together; null: as what is tuned has it.
    :param held_out: share of warm texts that are kept out of training, drawn by the seed: how well
        their vectors tell which of them every third user chooses decides when training stops.
    :param decay: two events g steps apart count ``decay ** (g - 1)``.
    :param reach: steps up to which they count.
    :param max_texts: at most so many texts are read, the most popular ones: an epoch's cost is
        their square.
    :param max_events: at most so many events of held-out texts are judged: validation events, then
        training events, drawn by the seed.
    :param seed: of the order and the draws.
    """

    def __init__(
        self,
        data: str,
        text_encoder: Encoder | None = None,
        batch_size: int | None = None,
        held_out: float = 0.1,
        decay: float = 0.8,
        reach: int = 10,
        max_texts: int = 20_000,
        max_events: int = 5_000,
        seed: int = 0,
    ) -> None:
        super().__init__(data, text_encoder)
        self.batch_size, self.held_out = batch_size, held_out
        self.decay, self.reach = decay, reach
        self.max_texts, self.max_events, self.seed = max_texts, max_events, seed

    @cached_property
    def text_vectors(self) -> Tensor:
        """(D + 1, vector_size) float32: the vectors of the different texts; row 0 zero."""
        texts = self.examples.texts
        return pad(encoded(self.encoder, texts, texts), (0, 0, 1, 0))

    @property
    def encoder(self) -> TextEncoder:
        """The encoder that is tuned.

        :raises NotApplicable: where it is none that can be.
        """
        if not isinstance(self.text_encoder, TextEncoder) or self.text_encoder.layers > 1:
            name = provider(self.text_encoder) if self.text_encoder else "no text encoder"
            raise NotApplicable(f"Only a TextEncoder of one layer is tuned, and there is {name}.")
        return self.text_encoder

    @cached_property
    def without(self) -> str:
        """Why nothing can be learned here; empty where it can."""
        try:
            self.examples  # noqa: B018
        except NotApplicable as reason:
            return str(reason)
        return ""

    @cached_property
    def examples(self) -> Examples:
        """Facts of the log about its items' texts.

        :raises NotApplicable: where there are too few texts or events to learn and judge by.
        """
        column = self.store.catalog[self.encoder.column].fill_null("").to_list()
        places = {text: n for n, text in enumerate(dict.fromkeys(filter(None, column)), start=1)}
        numbers = np.array([0, *(places.get(text, 0) for text in column)])
        events = np.bincount(numbers, self.store.popularity(), len(places) + 1)
        events[0] = 0
        warm = np.argsort(-events, kind="stable")[: min(self.max_texts, int((events > 0).sum()))]
        # All others are as if they were no texts: a large catalog's are neither read nor ranked.
        place_of = np.zeros(len(places) + 1, np.int64)
        place_of[np.sort(warm)] = np.arange(1, len(warm) + 1)
        texts = [text for text, number in places.items() if place_of[number]]
        numbers, warm, events = place_of[numbers], place_of[warm], events[[0, *np.sort(warm)]]
        generator = np.random.default_rng(self.seed)
        held = np.sort(generator.permutation(warm)[: round(self.held_out * len(warm))])
        trained = np.setdiff1d(warm, held)
        follows = self._follows(numbers)
        near = follows[trained][:, trained]  # how often texts come near each other
        near = near + near.T
        near = (near - scipy.sparse.diags_array(near.diagonal())).tocsr()
        near.eliminate_zeros()
        mass = near.sum(axis=1)
        if (enough := int((mass > 0).sum())) < MIN_TEXTS:
            raise NotApplicable(
                f"There are {enough} items with a text of their own and events near it, and "
                f"{MIN_TEXTS} or more can say what goes with what."
            )
        histories, chosen = self._events(numbers, held, generator)
        if len(chosen) < MIN_EVENTS:
            raise NotApplicable(
                f"Items held out have {len(chosen)} events, and {MIN_EVENTS} or more can say "
                "whether tuned vectors are the better ones."
            )
        every = Sequences.targets(self.store, VALIDATION)
        every = every.only(numbers[every.items] > 0)
        limits = zip(every.thirds(), (self.max_events, RANKED), strict=True)
        judged = [self._choices(numbers, third, limit, generator) for third, limit in limits]
        if (enough := min(len(third.chosen) for third in judged)) < MIN_EVENTS:
            raise NotApplicable(
                f"A third of the users has {enough} validation events, and {MIN_EVENTS} or more "
                "can say whether a ranking by tuned vectors is the better one."
            )
        scale = np.divide(1, mass, out=np.zeros_like(mass), where=mass > 0)
        shares = near.sum(axis=0) + near.sum() / len(trained) / 10  # none is impossible
        targets = (scipy.sparse.diags_array(scale) @ near).tocsr().astype(np.float32)
        shares = (shares / shares.sum()).astype(np.float32)
        usual = scipy.sparse.diags_array(1 / np.maximum(events, 1) ** 0.5)
        follows = follows if self.store.is_ordered else follows + follows.T
        follows = (usual @ follows @ usual).tocsr().astype(np.float32)
        whole = (texts, numbers, trained, targets, shares)
        return Examples(*whole, held, histories, chosen, follows, (judged[0], judged[1]))

    def _follows(self, numbers: NDArray[np.int64]) -> "scipy.sparse.csr_array":
        """Count how often texts come soon after each other: (D + 1, D + 1), 0 being no text."""
        log, items = self.histories.training(), self.num_items
        counts = cooccurrence(log.items, log.offsets, items, self.decay, self.reach)
        text_of = numbers[1:]
        entries = (text_of > 0).astype(np.float32), (np.arange(items), text_of)
        gather = scipy.sparse.coo_array(entries, shape=(items, numbers.max() + 1)).tocsr()
        return (gather.T @ counts @ gather).tocsr()

    def _events(
        self, numbers: NDArray[np.int64], held: NDArray[np.int64], generator: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Histories before events of held-out texts, and which of these was chosen."""
        drawn: list[Choices] = []
        for part in (VALIDATION, TRAIN):
            events = Sequences.targets(self.store, part).thirds()[0]
            left = self.max_events - sum(len(choices.chosen) for choices in drawn)
            events = events.only(np.isin(numbers[events.items], held))
            drawn.append(self._choices(numbers, events, left, generator))
        histories, targets, _ = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        return histories, np.searchsorted(held, targets)

    def _choices(
        self,
        numbers: NDArray[np.int64],
        events: Targets,
        limit: int,
        generator: np.random.Generator,
    ) -> Choices:
        """Draw some events whose text is not in the history before them."""
        starts = self.histories.offsets[:-1][events.users]
        events, starts = events.only(events.ends > starts), starts[events.ends > starts]
        starts = np.maximum(starts, events.ends - HISTORY)
        texts = numbers[padded(self.histories.items, starts, events.ends)]
        target = numbers[events.items]
        new = texts.any(axis=1) & (texts != target[:, None]).all(axis=1)
        some = generator.permutation(np.flatnonzero(new))[:limit]
        wide = np.pad(texts[some], ((0, 0), (HISTORY - texts.shape[1], 0)))
        return Choices(wide, target[some], events.users[some])

    def train_dataloader(self) -> DataLoader[Batch]:
        """Texts with what is near them, in an order that follows from seed and epoch.

        No batches where nothing is learned.
        """
        part = getattr(getattr(self.trainer, "lightning_module", None), "part", None)
        if self.without or part is None:
            nothing: Any = []
            return DataLoader(nothing, batch_size=None)
        nearby = Nearby(self.examples)
        size = self.batch_size or part.batch_size
        sampler = RowSampler(nearby.drawn, len(nearby), size, self.seed)
        # Its own generator, as in the ranker's data: a resumed run would draw at another moment.
        return DataLoader(nearby, batch_size=None, sampler=sampler, generator=torch.Generator())

    def val_dataloader(self) -> DataLoader[Batch]:
        """Events of held-out texts; every process judges all of them."""
        batches: Any = []
        if not self.without:
            columns = {"histories": self.examples.histories, "chosen": self.examples.chosen}
            parts = (torch.from_numpy(values).split(JUDGED) for values in columns.values())
            batches = [dict(zip(columns, each, strict=True)) for each in zip(*parts, strict=True)]
        return DataLoader(batches, batch_size=None)


class Nearby(Dataset[Batch]):
    """Texts of a log, and what is near each."""

    def __init__(self, examples: Examples) -> None:
        self.targets = examples.targets
        self.rows = np.flatnonzero(np.diff(self.targets.indptr))
        """(R,) which of the texts trained on have anything near them."""
        texts = [examples.texts[text - 1] for text in examples.trained[self.rows]]
        self.lengths = np.array([*map(len, texts)])

    def __len__(self) -> int:
        return len(self.rows)

    def drawn(self, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """These in a random order, and the lengths of their texts."""
        order = generator.permutation(len(self))
        return self.rows[order], self.lengths[order]

    def __getitem__(self, rows: NDArray[np.int64]) -> Batch:
        """A batch of B texts with E entries: text (B,), entry, near and share (E,).

        ``text`` and ``near`` are places among those trained on, ``entry`` is a row of the batch.
        """
        entries = self.targets[rows].tocoo()
        entry, near = (place.astype(np.int64) for place in entries.coords)
        batch = {"text": rows, "entry": entry, "near": near, "share": entries.data}
        return {name: torch.from_numpy(values) for name, values in batch.items()}
