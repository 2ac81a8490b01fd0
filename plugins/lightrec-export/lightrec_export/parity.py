"""Whether an export says what its run says, tried on drawn histories and on texts."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import torch
from torch import Tensor

from lightrec.data.sequences import Sequences
from lightrec.data.store import EventStore, padded
from lightrec.encoders.text import TextEncoder
from lightrec.errors import RunError
from lightrec.keys import PADDING
from lightrec_export.exported import Exported
from lightrec_export.towers import BATCH, Towers

TOLERANCE: Final = 1e-4
"""The largest difference of a score that an export may show."""
TRIED: Final = 256
"""Number of histories that try whether an export scores as its run does."""
TEXTS_TRIED: Final = 8
"""Number of the catalog's texts that try the text encoder."""


def check(what: str, difference: float) -> None:
    """See that an export says what its run says.

    :param what: of the export differs, in words.
    :raises RunError: where the difference is above :data:`TOLERANCE`.
    """
    if not difference <= TOLERANCE:
        raise RunError(
            f"{what} up to {difference:.2g}, where {TOLERANCE:g} may be. Nothing was exported; "
            "serve the run itself."
        )


def drawn_histories(store: EventStore, length: int | None, count: int, seed: int) -> Tensor:
    """Draw histories of a log: an eighth empty, an eighth short, an eighth longer than is read.

    :returns: (count, L) int64, padded on the left.
    """
    generator, log = np.random.default_rng(seed), Sequences.chosen(store)
    users = generator.integers(0, store.num_users, count)
    starts, ends = log.offsets[users], log.offsets[users + 1]
    cut = starts + np.ceil(generator.random(count) * (ends - starts)).astype(np.int64)
    part = np.arange(count) % 8
    cut = np.where(part == 0, starts, np.where(part == 1, np.minimum(cut, starts + 3), cut))
    histories = padded(log.items, starts, cut)
    if length is not None:
        more = 2 * length - histories.shape[1]
        histories = np.pad(histories, ((0, 0), (max(0, more), 0)))
        long = generator.integers(1, store.num_items + 1, histories.shape)
        histories = np.where((part == 2)[:, None] & (histories == PADDING), long, histories)
    return torch.from_numpy(histories)


@torch.no_grad()
def parity(folder: Path, towers: Towers, histories: Tensor) -> dict[str, Any]:
    """Compare an export with the part of the run that it was made from.

    :returns: ``histories``, their number; ``scores``, the largest difference of a score from the
        run's, and ``network``, from what the reduced network says before it is written; and
        ``top10``, how many of the run's ten best items are among the export's.
    """
    export, difference, network, same = Exported(folder), 0.0, 0.0, 0
    alone = [export.queries(each[None]) for each in histories[:BATCH]]
    queries = torch.cat([export.queries(histories), *alone])
    for rows in torch.arange(len(queries)).split(BATCH):
        some = histories[rows % len(histories)]
        scores = (queries[rows] @ export.table.T + export.bias)[:, 1:]
        expected = towers.scores(some)[:, 1:]
        reduced = (towers.network(some) @ export.table.T + export.bias)[:, 1:]
        difference = max(difference, float((scores - expected).abs().max()))
        network = max(network, float((scores - reduced).abs().max()))
        k = min(10, scores.shape[1])
        best, theirs = scores.topk(k).indices, expected.topk(k).indices
        same += int((best[:, :, None] == theirs[:, None]).sum())
    compared = {"histories": len(histories), "scores": difference, "network": network}
    return compared | {"top10": same / (len(queries) * k)}


def parity_of_texts(folder: Path, encoder: TextEncoder, texts: pl.Series) -> dict[str, Any]:
    """Compare the exported text encoder with the run's: ``text`` is the largest difference."""
    some = ["", *texts.sample(min(TEXTS_TRIED, len(texts)), seed=0).to_list()]
    some.append(" ".join(some))
    vectors = Exported(folder).encode(some)
    return {"text": float((vectors - encoder.encode(some)).abs().max())}
