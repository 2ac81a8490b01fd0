"""The worth of vectors of texts beside who chose what: a small blend of both, judged on events.

It stands for the ranker stage's blend, which takes minutes to make.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from lightrec.encoders.base import unit_vectors
from lightrec.intervals import Interval, bootstrap_interval

CUTOFF: Final = 10
SHARPNESS: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Values tried as the weight of a cosine beside the logarithm of a share of what followed."""
SMOOTHING: Final = 0.1
"""Addend of these shares, as a multiple of 1 / D."""
BLOCK: Final = 256
"""Events ranked at once."""


class Choices(NamedTuple):
    """Events at which one of D texts was chosen; row 0 of what is said of texts is padding.

    :param histories: (E, L) int64, numbers of the texts before, padded on the left.
    :param chosen: (E,) int64, the text's number.
    :param users: (E,) int64.
    """

    histories: NDArray[np.int64]
    chosen: NDArray[np.int64]
    users: NDArray[np.int64]


def gains(
    events: Choices,
    follows: "scipy.sparse.csr_array",
    vectors: Tensor,
    decay: float,
    weights: Sequence[float] = SHARPNESS,
) -> Tensor:
    """NDCG@10 of events by each of W weights of a cosine, all texts not in a history ranked.

    :param follows: (D + 1, D + 1), how much a text says that another comes next.
    :param vectors: (D + 1, V).
    :param decay: what a text of a history counts next to the one after it.
    :returns: (W, E) float64.
    """
    units, length = unit_vectors(vectors), events.histories.shape[1]
    loud = torch.from_numpy(decay ** np.arange(length - 1.0, -1, -1)).float()
    blocks = []
    for start in range(0, len(events.chosen), BLOCK):
        block = events.histories[start : start + BLOCK]
        histories, loudness = torch.from_numpy(block), loud.expand(block.shape).contiguous()
        ends = np.arange(len(block) + 1) * length
        entries = loudness.numpy().ravel() * (block.ravel() > 0), block.ravel(), ends
        read = scipy.sparse.csr_array(entries, shape=(len(block), len(units)))
        shares = torch.from_numpy((read @ follows).toarray()).float()
        shares = shares / shares.sum(1, keepdim=True).clamp_min(1e-12)
        shares = shares.add_(SMOOTHING / len(units)).log_()
        sought = embedding_bag(
            histories, units, per_sample_weights=loudness, mode="sum", padding_idx=0
        )
        alike = normalize(sought, dim=1) @ units.T
        column = torch.from_numpy(events.chosen[start : start + BLOCK])[:, None]
        places = []
        for weight in weights:
            scores = torch.add(shares, alike, alpha=weight)
            mine = scores.gather(1, column)
            scores = scores.scatter(1, histories, -torch.inf).scatter(1, column, -torch.inf)
            scores[:, 0] = -torch.inf
            places.append(2 + 2 * (scores > mine).sum(1) + (scores == mine).sum(1))
        ranks = torch.stack(places).double() / 2
        blocks.append(torch.where(ranks <= CUTOFF, 1 / torch.log2(1 + ranks), 0.0))
    return torch.cat(blocks, 1)


def compared(
    events: tuple[Choices, Choices],
    follows: "scipy.sparse.csr_array",
    vectors: Mapping[str, Tensor],
    decay: float,
) -> tuple[dict[str, float], Interval]:
    """Compare tuned vectors with frozen ones, each with the weight that suits it.

    :param events: events that choose the weights, and events of other users, which judge.
    :param vectors: (D + 1, V) each, the ``frozen`` ones first, then those ``tuned``.
    :returns: NDCG@10 by name, and the interval of its difference, paired by event, users being what
        is drawn.
    """
    judged = {}
    for name, table in vectors.items():
        best = int(gains(events[0], follows, table, decay).mean(1).argmax())
        judged[name] = gains(events[1], follows, table, decay, [SHARPNESS[best]])[0]
    frozen, tuned = judged.values()
    gain = bootstrap_interval(tuned - frozen, torch.from_numpy(events[1].users))
    return {name: float(values.mean()) for name, values in judged.items()}, gain
