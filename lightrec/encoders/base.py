"""The base classes of encoders, and what an encoder makes of a catalog's items.

An encoder turns content (texts, paths of pictures, numbers) into vectors. One that can be
fine-tuned says how values become tokens and tokens vectors; to encode follows from both.
"""

import contextlib
import hashlib
import mmap
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.functional import normalize, pad
from tqdm.auto import tqdm

from lightrec.blame import blaming, provider
from lightrec.data.files import cache_folder, save_tensors
from lightrec.data.share import present_share
from lightrec.encoders.hub import DIGEST
from lightrec.errors import PluginError, RecipeError
from lightrec.keys import Column

ENCODER = "encoder.json"
"""In the ranker's folder: what the text encoder notes of itself."""
SHOWN = 60
"""Characters of a value that a message shows."""
SHARD = (256, 65_536)
"""Values whose vectors go to disk as one file: at first, and at most."""
SECONDS = 20.0
"""How long it is to take to encode them: about what a killed run may lose."""
PATIENCE = 300.0
"""Seconds without a new file of other processes after which their share is encoded here."""
BLOCK = 1 << 26
"""Bytes of a table of all items up to which it is in memory, and that are made of it at once."""
FOREIGN = (OSError, SafetensorError, RuntimeError, ValueError)
"""What a file raises that is damaged, or holds something else than vectors of this length."""
_ON_DISK = ContextVar("on_disk", default=True)
_NAME = f"S{DIGEST}"
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
    """Whether any text can be encoded, such as a request; not where values are paths or ids."""
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


def encoded(
    encoder: Encoder, values: Sequence[Any], items: Sequence[str], asked: bool = False
) -> Tensor:
    """Encode values of items, and see that the vectors are what they must be.

    :param values: None for those that are missing.
    :param items: of each value, the id of an item that has it.
    :param asked: whether they are what people ask for, and no item's.
    :returns: ``(len(values), encoder.size)`` float32 on the CPU; zeros for missing values.
    :raises PluginError: where the encoder fails, or gives something else.
    """
    rows = [row for row, value in enumerate(values) if value is not None]
    if not rows or len(rows) < len(values):
        table = torch.zeros(len(values), encoder.size)
        if rows:
            present = [values[row] for row in rows], [items[row] for row in rows]
            table[rows] = encoded(encoder, *present, asked)
        return table
    name = provider(encoder)

    def checked(some: Sequence[Any]) -> Tensor:
        with blaming(encoder, f"encode {len(some)} texts"):
            encode = encoder.encode_queries if asked else encoder.encode
            expected, vectors = (len(some), encoder.size), encode(some)
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

    if asked or encoder.fingerprint is None or isinstance(encoder, TrainableEncoder):
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
    texts = catalog.schema[names[0]] == pl.String and encoder.reads_words
    empty = "" if encode_empty and texts else None

    def block(rows: slice) -> Tensor:
        # Row 0 of the table is padding, and row 1 is the first item.
        part = catalog[max(rows.start - 1, 0) : rows.stop - 1]
        found = part.select(names).to_dicts()
        values = found if encoder.columns else [row[names[0]] for row in found]
        values = [empty if value is None or value == "" else value for value in values]
        vectors = encoded(encoder, values, part[Column.ITEM].to_list())
        return vectors if rows.start else pad(vectors, (0, 0, 1, 0))

    return in_blocks(catalog.height + 1, encoder.size, block, said="All texts")


def in_blocks(
    rows: int,
    size: int,
    block_of: Callable[[slice], Tensor],
    dtype: torch.dtype = torch.float32,
    said: str = "",
) -> Tensor:
    """Make a table block by block, in a memory-mapped file where it is large.

    The file has no name, lies where the cache is, and goes with the tensor. Where the disk lacks
    room, the table is in memory.

    :param block_of: gives some rows, (n, ``size``) of the type ``dtype`` on the CPU.
    :param said: what a progress bar says; empty for none.
    :returns: (``rows``, ``size``).
    """
    width = dtype.itemsize * max(size, 1)
    step, whole = max(1, BLOCK // width), rows * width
    if rows <= step:
        return block_of(slice(0, rows))
    silent = not said or present_share().rank > 0
    bar = tqdm(total=rows, desc=said, unit=" texts", disable=silent)
    file = _unnamed(2 * whole)
    table = torch.empty(rows if file is None else 0, size, dtype=dtype)
    with bar, file or contextlib.nullcontext():
        for start in range(0, rows, step):
            block = slice(start, min(start + step, rows))
            if file is None:
                table[block] = block_of(block)
            else:
                file.write(block_of(block).contiguous().numpy().data)
            bar.update(block.stop - block.start)
        if file is None:
            return table
        file.flush()
        return torch.frombuffer(mmap.mmap(file.fileno(), whole), dtype=dtype).view(rows, size)


def on_disk(table: Tensor) -> Tensor:
    """A table (n, m) as :func:`in_blocks` keeps one: a memory-mapped file where it is large."""
    return in_blocks(len(table), table.shape[1], lambda rows: table[rows], table.dtype)


def _unnamed(needed: int) -> Any | None:
    """A file without a name; None where there is no room."""
    folder = cache_folder()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free >= needed:
            return tempfile.TemporaryFile(dir=folder)
    return None


def unit_vectors(vectors: Tensor) -> Tensor:
    """Centre text vectors and bring them to length 1; rows of zeros, which are no text, stay so.

    :param vectors: (M, V); differentiable.
    """
    # In parts, since each number becomes true or false first.
    is_text = torch.cat([part.any(dim=1, keepdim=True) for part in vectors.split(BLOCK >> 10)])
    mean = vectors.sum(0) / is_text.sum().clamp_min(1)

    def block(rows: slice) -> Tensor:
        return normalize((vectors[rows] - mean) * is_text[rows], dim=1)

    if vectors.requires_grad or vectors.device.type != "cpu" or vectors.dtype != torch.float32:
        return block(slice(None))
    return in_blocks(len(vectors), vectors.shape[1], block)


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
    hashes = b"".join(_hash(text.encode("utf-8", "surrogatepass")).digest() for text in texts)
    found = np.unique(np.frombuffer(hashes, _NAME), return_index=True, return_inverse=True)
    names, first, place = found
    table = torch.zeros(len(values), size, dtype=torch.float32)  # in any precision
    folder, share = None, present_share()
    if fingerprint is not None and _ON_DISK.get():
        folder = cache_folder() / "vectors" / fingerprint
    vectors = _Vectors(names, first, table, np.ones(len(names), bool), folder)
    vectors.read()
    # By length, so that a batch holds little padding; characters stand in for tokens.
    lengths = [len(str(values[row])) for row in first[vectors.missing]]
    missing = np.flatnonzero(vectors.missing)[np.argsort(lengths, kind="stable")]
    if folder is not None and len(missing) >= share.world * SHARD[0]:
        # By their numbers, which are the same in all: one may have begun when others were done.
        mine = missing[missing % share.world == share.rank]
        vectors.encode(values, mine, compute)
        vectors.wait()
        # What others have not left, since they were ended or cannot write here.
        missing = missing[vectors.missing[missing]]
    vectors.encode(values, missing, compute)
    again = np.flatnonzero(first[place] != np.arange(len(values)))
    table[again] = table[first[place[again]]]
    return table


@dataclass
class _Vectors:
    """A table of vectors while it is filled: the sorted hashes of M different values, the row of
    each, and which of them are missing. The folder holds files, each written under a temporary name
    and renamed, so that a killed process leaves whole ones only; without one nothing is kept.
    """

    names: npt.NDArray[np.bytes_]
    rows: npt.NDArray[np.int64]
    table: Tensor
    missing: npt.NDArray[np.bool_]
    folder: Path | None
    looked_at: set[Path] = field(default_factory=set)

    def read(self) -> None:
        """Read what is on disk and was not looked at before; a file that cannot be read is none."""
        there = self.folder.glob("*.safetensors") if self.folder and self.missing.any() else ()
        for path in sorted({*there} - self.looked_at):
            self.looked_at.add(path)
            # It may be written by something else, or the disk is broken: then texts are encoded
            # again.
            with contextlib.suppress(*FOREIGN), safe_open(path, "pt") as shard:
                keys = shard.get_tensor("keys").numpy().reshape(-1).view(_NAME)
                place = np.searchsorted(self.names, keys).clip(max=len(self.names) - 1)
                mine = np.flatnonzero((self.names[place] == keys) & self.missing[place])
                if len(mine):
                    # Mapped: only the rows that are taken are read.
                    self.table[self.rows[place[mine]]] = shard.get_tensor("vectors")[mine]
                    self.missing[place[mine]] = False

    def encode(
        self,
        values: Sequence[Any],
        wanted: npt.NDArray[np.int64],
        compute: Callable[[Sequence[Any]], Tensor],
    ) -> None:
        """Encode the values of some hashes in this order, a file's at a time."""
        (step, most), start = SHARD, 0
        silent = len(wanted) < 2000 or present_share().rank > 0
        bar = tqdm(
            total=len(wanted), desc="Encoding texts", unit=" texts", disable=silent, leave=False
        )
        with bar:
            while start < len(wanted):
                began, some = time.monotonic(), wanted[start : start + step]
                rows = torch.from_numpy(self.rows[some])
                vectors = compute([values[row] for row in rows.tolist()])
                self.table.index_copy_(0, rows, vectors)
                self.missing[some] = False
                if self.folder is not None:
                    names = self.names[some].tobytes()
                    keys = torch.frombuffer(bytearray(names), dtype=torch.uint8).view(-1, DIGEST)
                    path = self.folder / f"{_hash(names).hexdigest()}.safetensors"
                    to_cache({"keys": keys, "vectors": vectors}, path)
                start += len(some)
                bar.update(len(some))
                faster = SECONDS / max(time.monotonic() - began, 1e-3)
                # In 64s, which whole batches mostly fill.
                step = min(max(int(step * min(faster, 4)) // 64 * 64, 64), most)

    def wait(self) -> None:
        """Read what other processes encode, until all is there, or nothing more comes."""
        since, left = time.monotonic(), self.missing.sum()
        while left and time.monotonic() - since < PATIENCE:
            time.sleep(0.1)
            self.read()
            if self.missing.sum() < left:
                since, left = time.monotonic(), self.missing.sum()


def to_cache(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as a whole file or not at all: a full disk costs the next run some work."""
    with contextlib.suppress(OSError, SafetensorError):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(tensors, path)
