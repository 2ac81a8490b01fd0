"""The base classes of encoders, and what an encoder makes of a catalog's items.

An encoder turns content (texts, paths of pictures, numbers) into vectors. One that can be
fine-tuned says how values become tokens and tokens vectors; to encode follows from both.
"""

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.functional import normalize, pad
from tqdm.auto import tqdm

from lightrec.blame import blaming, provider
from lightrec.data.files import cache_folder, save_tensors
from lightrec.encoders.hub import DIGEST
from lightrec.errors import PluginError, RecipeError
from lightrec.keys import Column

ENCODER = "encoder.json"
"""In the ranker's folder: what the text encoder notes of itself."""
SHOWN = 60
"""Characters of a value that a message shows."""
SHARD = 1024
"""Values encoded before their vectors go to disk: what a killed run may lose."""
_ON_DISK = ContextVar("on_disk", default=True)
_hash = partial(hashlib.blake2b, digest_size=DIGEST)


class Encoder(ABC):
    """Turns content into vectors.

    Subclass it in a plugin, return the class from the hook ``lightrec_encoders``, and every recipe
    can name it: ``text_encoder: ShortName``.
    """

    column: str = Column.TEXT
    """The column of the catalog that is encoded."""
    columns: Sequence[str] = ()
    """Several columns, where one is not enough: a value is then a dict of what stands in each, None
    or the empty string where nothing does."""
    reads_words: bool = True
    """Whether any text can be encoded, such as a wish; not where values are paths or ids."""
    fingerprint: str | None = None
    """All that a vector depends on besides its value, as a hash: vectors are then kept on disk and
    read from there. None keeps none."""

    @property
    def about(self) -> Mapping[str, object]:
        """Notes of a run on it: plain values by name, such as the model and how it is used."""
        return {"class": type(self).__name__}

    @property
    @abstractmethod
    def size(self) -> int:
        """Length of the vectors: an attribute of the class, or a property."""

    @abstractmethod
    def encode(self, values: Sequence[Any]) -> Tensor:
        """Encode values.

        :param values: what stands in the catalog's column, such as any strings; the empty string is
            allowed and must give a finite vector.
        :returns: ``(len(values), size)`` float32 on the CPU. A value's vector does not depend on
            the values next to it.
        """

    def encode_queries(self, values: Sequence[Any]) -> Tensor:
        """Encode what people ask for, to be compared with the vectors of items.

        The arguments are those of :meth:`encode`, and so is what it does, where a model knows no
        difference.
        """
        return self.encode(values)

    def encode_once(self, values: Sequence[Any]) -> Tensor:
        """Encode values that come once, such as a service's: none is looked for on disk or kept.

        The arguments are those of :meth:`encode`.
        """
        with off_disk():
            return self.encode(values)


class TrainableEncoder(Encoder, nn.Module):
    """An encoder that can be fine-tuned.

    :param batch_size: values encoded at once, of like lengths.
    """

    def __init__(self, batch_size: int = 64) -> None:
        super().__init__()
        self.batch_size = batch_size
        # It serves unless a stage trains it.
        self.eval()

    @abstractmethod
    def tokenize(self, values: Sequence[Any]) -> dict[str, Tensor]:
        """Turn values into tensors ``(len(values), ...)`` on the CPU, padded to one length."""

    @abstractmethod
    def forward(self, tokens: dict[str, Tensor]) -> Tensor:
        """Turn tokens into vectors ``(n, size)``, on the device of the weights; differentiable."""

    def encode(self, values: Sequence[Any]) -> Tensor:
        """Encode values, equal ones once: what :meth:`forward` makes of their tokens.

        :returns: ``(len(values), size)`` float32 on the CPU.
        """
        return through_cache(self.fingerprint, self.size, values, partial(self.in_batches, self))

    @torch.no_grad()
    def in_batches(
        self, compute: Callable[[dict[str, Tensor]], Tensor], values: Sequence[Any]
    ) -> Tensor:
        """Compute something of values' tokens, a batch at a time, nothing left out by chance.

        :returns: float32 on the CPU.
        """
        training = self.training
        self.eval()
        try:
            parts = [
                compute(self.tokenize(values[at : at + self.batch_size])).float().cpu()
                for at in range(0, len(values), self.batch_size)
            ]
        finally:
            self.train(training)
        return torch.cat(parts)


def encoded(encoder: Encoder, values: Sequence[Any], items: Sequence[str]) -> Tensor:
    """Encode values of items, and see that the vectors are what they must be.

    :param values: None for those that are missing.
    :param items: of each value, the id of an item that has it.
    :returns: ``(len(values), encoder.size)`` float32 on the CPU; zeros for missing values.
    :raises PluginError: where the encoder fails, or gives something else.
    """
    rows = [row for row, value in enumerate(values) if value is not None]
    if not rows or len(rows) < len(values):
        table = torch.zeros(len(values), encoder.size)
        if rows:
            present = [values[row] for row in rows], [items[row] for row in rows]
            table[rows] = encoded(encoder, *present)
        return table
    name = provider(encoder)

    def checked(some: Sequence[Any]) -> Tensor:
        with blaming(encoder, f"encode {len(some)} texts"):
            expected, vectors = (len(some), encoder.size), encoder.encode(some)
        if not isinstance(vectors, Tensor) or vectors.shape != expected:
            what = tuple(vectors.shape) if isinstance(vectors, Tensor) else type(vectors).__name__
            raise PluginError(
                f"{name} gave {what} for {len(some)} texts; expected is a tensor of shape "
                f"{expected}, one vector a text, as long as its `size` says."
            )
        if bad := (~vectors.isfinite()).any(1).nonzero().flatten().tolist():
            text, item = str(some[bad[0]]), items[values.index(some[bad[0]])]
            shown = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
            raise PluginError(
                f"{name} gave vectors with NaN or infinity for {len(bad)} of {len(some)} texts, "
                f"the first being {shown!r} of the item {item!r}. Every text must have a finite "
                "vector, also one that is empty or in no known language."
            )
        return vectors.to("cpu", torch.float32)

    if encoder.fingerprint is None or isinstance(encoder, TrainableEncoder):
        return checked(values)
    return through_cache(encoder.fingerprint, encoder.size, values, checked)


def item_vectors(encoder: Encoder, catalog: pl.DataFrame, encode_empty: bool = False) -> Tensor:
    """Encode the column, or the columns, of a catalog that an encoder reads.

    :param catalog: N items.
    :param encode_empty: whether the empty string is encoded, too, in place of missing texts.
    :returns: ``(N + 1, size)`` float32; zeros for padding and for items without a value.
    :raises RecipeError: where the catalog has no such column.
    """
    names = [*dict.fromkeys(encoder.columns or [encoder.column])]
    if missing := [repr(name) for name in names if name not in catalog.columns]:
        raise RecipeError(
            f"{provider(encoder)} reads the items' column {' and '.join(missing)}, and the "
            f"catalog has {', '.join(catalog.columns)}: prepare the log with items that have it, "
            "or take another encoder."
        )
    rows = catalog.select(names).to_dicts()
    values = rows if encoder.columns else [row[names[0]] for row in rows]
    texts = catalog.schema[names[0]] == pl.String and encoder.reads_words
    empty = "" if encode_empty and texts else None
    values = [empty if value is None or value == "" else value for value in values]
    return pad(encoded(encoder, values, catalog[Column.ITEM].to_list()), (0, 0, 1, 0))


def unit_vectors(vectors: Tensor) -> Tensor:
    """Centre text vectors and bring them to length 1; rows of zeros, which are no text, stay so.

    :param vectors: (M, V); differentiable.
    """
    is_text = vectors.any(dim=1, keepdim=True)
    count = is_text.sum().clamp_min(1)
    return normalize((vectors - vectors.sum(0) / count) * is_text, dim=1)


@contextlib.contextmanager
def off_disk() -> Iterator[None]:
    """Encode values without a look at the disk: those of requests come once, and without end, and
    each look would read a file for each that was kept.
    """
    before = _ON_DISK.set(False)
    try:
        yield
    finally:
        _ON_DISK.reset(before)


def through_cache(
    fingerprint: str | None,
    size: int,
    values: Sequence[Any],
    compute: Callable[[Sequence[Any]], Tensor],
) -> Tensor:
    """Encode different values once, and with a fingerprint only those that are not on disk yet;
    see also :func:`off_disk`.

    :param size: length of the vectors.
    """
    # By hash: a list of numbers is a value too, and cannot be a key itself.
    texts = (value if isinstance(value, str) else repr(value) for value in values)
    hashes = [_hash(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
    different = dict(zip(hashes, values, strict=True))
    folder, stored = None, dict[bytes, Tensor]()
    if fingerprint is not None and _ON_DISK.get():
        folder = cache_folder() / "vectors" / fingerprint
        stored = _read_vectors(folder, different.keys())
    # By length, so that a batch holds little padding; characters stand in for tokens.
    missing = [key for key in different if key not in stored]
    missing.sort(key=lambda key: len(str(different[key])))
    with tqdm(total=len(missing), desc="Encoding texts", disable=len(missing) < 2000) as bar:
        for start in range(0, len(missing), SHARD):
            shard = missing[start : start + SHARD]
            vectors = dict(zip(shard, compute([different[key] for key in shard]), strict=True))
            stored |= vectors
            bar.update(len(shard))
            if folder is not None:
                names = b"".join(vectors)
                keys = torch.frombuffer(bytearray(names), dtype=torch.uint8).view(-1, DIGEST)
                tensors = {"keys": keys, "vectors": torch.stack([*vectors.values()])}
                to_cache(tensors, folder / f"{_hash(names).hexdigest()}.safetensors")
    return torch.stack([stored[key] for key in hashes]) if hashes else torch.zeros(0, size)


def _read_vectors(folder: Path, keys: Set[bytes]) -> dict[bytes, Tensor]:
    """Read the vectors of one model that are on disk, of those with some hashes.

    Its folder holds shards, each written under a temporary name and renamed, so that a killed
    process leaves whole shards only. One that cannot be read or written is an empty cache.
    """
    vectors: dict[bytes, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        # It may be written by something else, or the disk is broken: then texts are encoded again.
        with contextlib.suppress(OSError, SafetensorError), safe_open(path, "pt") as shard:
            names = map(np.ndarray.tobytes, shard.get_tensor("keys").numpy())
            vectors |= {
                n: v for n, v in zip(names, shard.get_tensor("vectors"), strict=True) if n in keys
            }
    return vectors


def to_cache(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as a whole file or not at all: a full disk costs the next run some work."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(tensors, path)
