"""Vectors on disk, by content: what was encoded once is not encoded again.

A cache is a folder of numbered shards, each written under a temporary name and renamed, so that a
killed process leaves whole shards only. One folder holds the vectors of one model.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lightrec.data.files import usual_mode

DIGEST = 16
"""Bytes of a text's hash: a clash among a billion texts has a chance of 1e-21."""
SUFFIX = ".safetensors"


def digest(text: str) -> bytes:
    """Hash a text's content."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST).digest()


class VectorCache:
    """The vectors of one model, found by the hash of the text.

    A folder that cannot be read or written is a cache that is empty: nothing fails for it.

    :param folder: of this model alone; made when something is written.
    :param size: length of the vectors.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size

    def fill(self, keys: Sequence[bytes], table: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Copy the vectors that are there into a table.

        :param keys: (T,) digests, no two alike.
        :param table: (T, size) float32; rows found are overwritten.
        :returns: (T,) bool, which rows were found.
        """
        rows = {key: row for row, key in enumerate(keys)}
        found = np.zeros(len(keys), dtype=bool)
        for names, vectors in self._shards():
            pairs = [(rows[name], i) for i, name in enumerate(names) if name in rows]
            if pairs:
                into, taken = (list(column) for column in zip(*pairs, strict=True))
                table[into] = vectors[taken]
                found[into] = True
            if found.all():
                break
        return found

    def add(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        """Write a shard.

        :param keys: (T,) digests.
        :param vectors: (T, size) float32.
        """
        if not keys:
            return
        names = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, DIGEST)
        shard = hashlib.blake2b(names.tobytes(), digest_size=DIGEST).hexdigest() + SUFFIX
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.folder, suffix=".tmp")
            os.close(handle)
            try:
                with usual_mode(Path(temporary)):
                    save_file({"keys": names, "vectors": np.ascontiguousarray(vectors)}, temporary)
                os.replace(temporary, self.folder / shard)
            finally:
                Path(temporary).unlink(missing_ok=True)

    def _shards(self) -> Iterator[tuple[list[bytes], NDArray[np.float32]]]:
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            try:
                with safe_open(path, "np") as shard:
                    names, vectors = shard.get_tensor("keys"), shard.get_tensor("vectors")
            except (OSError, SafetensorError):
                continue  # written by something else, or the disk is broken: encode again
            if vectors.ndim == 2 and vectors.shape == (len(names), self.size):
                yield [name.tobytes() for name in names], vectors
