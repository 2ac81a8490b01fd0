"""Data of the stages users_a and users_b: choices of one half of the users, and item vectors."""

from functools import cached_property, partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import DataLoader

from lightrec.data.attributes import item_features, user_features
from lightrec.data.share import Share, present_share
from lightrec.data.stage_data import LogData
from lightrec.data.store import TEST, TRAIN, VALIDATION
from lightrec.encoders.base import Encoder, item_vectors
from lightrec.errors import RecipeError, RunError
from lightrec.nn.cooccurrence import cooccurrence, leading_vectors
from lightrec.users.choice_sets import Batch, ChoiceSets, EventBatches, own_rows
from lightrec.users.halves import Half, in_half

ITEMS = "items.safetensors"
BLOCK = 1 << 16
"""Vectors that are in double precision at once."""


class ChoiceData(LogData):
    """Choices from sets, or of nothing, after a history.

    :param data: folder of the prepared log.
    :param ranker: folder of the ranker stage, whose item vectors are used; null does without.
    :param text_encoder: gives further vectors, of the items' texts; null does without.
    :param text_size: number of principal components of the text vectors; null for whole vectors.
    :param cooccurrence_size: length of vectors of co-occurrence, from the training events of this
        half's own users; 0 does without.
    :param half: whose choices: of users ``a``, of users ``b``, or of ``all``.
    :param split_seed: of the halves, the same wherever they are to be disjoint; null: ``seed``.
    :param history_length: L.
    :param candidates: size of the sets assumed where the log has none.
    :param nothing_rate: assumed share of declined sets, where the log records none.
    :param longest_session: steps at which the log's sessions were cut, so that their users did not
        leave; null takes the longest where sessions pile up at it.
    :param batch_size: events in a batch.
    :param max_train: at most so many events an epoch, drawn again each epoch; null for all.
    :param max_evaluated: at most so many validation, or test, events; null for all.
    :param num_workers: processes that make batches.
    :param seed: of the order and the draws.
    :param events: a ``.npy`` file with positions, in this data's ``store``, of the training events
        to learn from, such as actively chosen ones; null for all.
    :param forget: the probability that a training history lacks a step, drawn again in each epoch.
    :param use_attributes: whether the vectors hold the features of the items' attributes, and
        choices read those of the users'; see :mod:`lightrec.data.attributes`.
    """

    def __init__(
        self,
        data: str,
        ranker: str | None = None,
        text_encoder: Encoder | None = None,
        text_size: int | None = 64,
        cooccurrence_size: int = 0,
        half: Half = "all",
        split_seed: int | None = None,
        history_length: int = 20,
        candidates: int = 20,
        nothing_rate: float = 0.5,
        longest_session: int | None = None,
        batch_size: int = 512,
        max_train: int | None = 500_000,
        max_evaluated: int | None = 20_000,
        num_workers: int = 0,
        seed: int = 0,
        events: str | None = None,
        forget: float = 0.0,
        use_attributes: bool = False,
    ) -> None:
        super().__init__(data)
        for name, rate in (("nothing_rate", nothing_rate), ("forget", forget)):
            if not 0 <= rate < 1:
                raise RecipeError(f"{name} is {rate}; it lies between 0 and below 1.")
        self.ranker, self.text_encoder = ranker, text_encoder
        self.text_size, self.cooccurrence_size = text_size, cooccurrence_size
        self.half = half
        self.split_seed = seed if split_seed is None else split_seed
        self.history_length = history_length
        self.candidates, self.nothing_rate = candidates, nothing_rate
        self.longest_session = longest_session
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.chosen, self.forget, self.use_attributes = events, forget, use_attributes
        self.max_train, self.max_evaluated = max_train, max_evaluated

    @property
    def offer_settings(self) -> dict[str, Any]:
        """The arguments that decide states and offers, plain Python, without the vectors'."""
        names = ("half", "split_seed", "history_length", "candidates", "nothing_rate", "seed")
        chosen = {} if self.chosen is None else {"events": self.chosen}
        return {name: getattr(self, name) for name in names} | chosen

    @cached_property
    def vectors(self) -> Tensor:
        """(N + 1, vector_size): all :attr:`blocks` next to each other."""
        return torch.cat([torch.zeros(self.num_items + 1, 0), *self.blocks.values()], 1)

    @cached_property
    def blocks(self) -> dict[str, Tensor]:
        """(N + 1, …) each: the item vectors by their origin, of unit mean square."""
        blocks = {}
        if self.cooccurrence_size:
            blocks["co-occurrence"] = self._cooccurrence_vectors()
        if self.ranker is not None:
            if not (path := Path(self.ranker) / ITEMS).is_file():
                raise RunError(f"{path} is missing: run the ranker stage first.")
            blocks["the ranker's vector"] = load_file(path)["vectors"].float()
        if self.text_encoder is not None:
            vectors = item_vectors(self.text_encoder, self.store.catalog, encode_empty=True)
            if self.text_size is not None:
                vectors = pad(_principal(vectors[1:], self.text_size), (0, 0, 1, 0))
            blocks["text"] = vectors
        if self.use_attributes:
            features, table = item_features(self.store)
            blocks |= {name: table[:, columns] for name, columns in features.blocks.items()}
        for name, block in blocks.items():
            items = block[1:] - block[1:].mean(0)
            scaled = items / items.square().mean().sqrt().clamp_min(1e-8)
            blocks[name] = pad(scaled, (0, 0, 1, 0))
        return blocks

    @cached_property
    def people_features(self) -> Tensor:
        """(U, G) float32 features of the users' attributes; G is 0 where they are not used."""
        if not self.use_attributes:
            return torch.zeros(self.store.num_users, 0)
        return user_features(self.store)[1]

    @property
    def people(self) -> tuple[int, int]:
        """U and G."""
        users, features = self.people_features.shape
        return users, features

    def _cooccurrence_vectors(self) -> Tensor:
        """(N + 1, cooccurrence_size): which items this half's users chose near each other."""
        events = self.events(TRAIN)
        items = np.asarray(self.store.items)[events]
        events, items = events[items <= self.num_items], items[items <= self.num_items]
        offsets = np.searchsorted(self.store.users_of(events), np.arange(self.store.num_users + 1))
        counts = cooccurrence(items, offsets, self.num_items, decay=0.8, reach=10)
        return leading_vectors(counts, self.cooccurrence_size)

    @cached_property
    def training(self) -> NDArray[np.int64]:
        """Positions of all users' training events that may be learned from, ascending."""
        events = self.store.events(TRAIN)
        return events if self.chosen is None else np.intersect1d(events, np.load(self.chosen))

    @cached_property
    def popularity(self) -> NDArray[np.int64]:
        """(N + 1,) int64: how often each item was chosen in this half's training events."""
        return self.store.popularity(self.events(TRAIN))

    @cached_property
    def log_popularity(self) -> Tensor:
        """(N + 1,) float32: logarithm of one plus ``popularity``."""
        return torch.from_numpy(np.log1p(self.popularity).astype(np.float32))

    @cached_property
    def sets(self) -> ChoiceSets:
        """The maker of batches."""
        odds = self.nothing_rate / (1 - self.nothing_rate)
        return ChoiceSets(self.store, self.history_length, self.candidates, odds, self.forget)

    def events(self, part: int, half: Half | None = None) -> NDArray[np.int64]:
        """Positions of a part's events of a half, by default one's own."""
        events = self.training if part == TRAIN else self.store.events(part)
        owners = self.store.users_of(events)
        return events[in_half(owners, half or self.half, self.split_seed)]

    def batches(
        self,
        part: int,
        half: Half | None = None,
        *,
        shuffle: bool = False,
        limit: int | None = None,
        share: Share = Share(0, 1),  # noqa: B008 (a constant)
    ) -> DataLoader[Batch]:
        """Batches of a part's choices; always the same ones unless shuffled.

        :param share: of a process among several.
        :raises DataError: where there are fewer events than processes.
        """
        size = self.batch_size if shuffle else max(self.batch_size, 2048)
        events = self.events(part, half)
        share.check(len(events), "events")
        sampler = EventBatches(events, size, self.seed, shuffle=shuffle, limit=limit, share=share)
        loading: dict[str, Any] = {"sampler": sampler, "num_workers": self.num_workers}
        return DataLoader(self.sets, None, collate_fn=partial(own_rows, share=share), **loading)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Training choices, in an order that follows from seed and epoch."""
        return self.batches(TRAIN, shuffle=True, limit=self.max_train, share=present_share())

    def val_dataloader(self) -> DataLoader[Batch]:
        """Validation choices."""
        return self.batches(VALIDATION, limit=self.max_evaluated, share=present_share())

    def test_dataloader(self) -> DataLoader[Batch]:
        """Test choices."""
        return self.batches(TEST, limit=self.max_evaluated, share=present_share())


def _principal(vectors: Tensor, size: int) -> Tensor:
    """The leading principal components (N, size) of vectors (N, D), by their variance."""
    mean, blocks = vectors.mean(0), vectors.split(BLOCK)
    # Of the small D × D matrix, whose eigenvectors come in ascending order.
    grams = (block.T @ block for block in ((part - mean).double() for part in blocks))
    axes = torch.linalg.eigh(reduce(torch.add, grams)).eigenvectors[:, -size:]
    return torch.cat([((block - mean).double() @ axes).float() for block in blocks])
