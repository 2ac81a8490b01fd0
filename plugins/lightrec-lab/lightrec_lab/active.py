"""Active learning: which sessions to ask for, by an ensemble's disagreement about their choices."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightrec.api import Key, UserModel
from lightrec.data.store import TRAIN
from lightrec.users.choice_data import ChoiceData


@torch.no_grad()
def uncertainty(users: UserModel, data: ChoiceData, events: NDArray[np.int64]) -> Tensor:
    """Disagreement of an ensemble about the choices from events' offers: (E,), in nats."""
    parts = []
    for begin in range(0, len(events), 2048):
        rows = events[begin : begin + 2048]
        batch = data.sets[(data.seed, 0, 0, begin), rows]
        sets = batch[Key.CANDIDATES][: len(rows)]
        user = batch[Key.USER][: len(rows)]
        parts.append(users.predict(batch[Key.HISTORY], sets, user)[1])
    return torch.cat(parts)


def most_informative(
    users: UserModel, data: ChoiceData, sessions: NDArray[np.int64], number: int
) -> NDArray[np.int64]:
    """Choose sessions to ask for, by an ensemble's disagreement about their first training choices.

    Active learning (Houlsby et al. 2011, "Bayesian active learning for classification and
    preference learning"): histories and offers are read, and no choices.

    :param sessions: (S,) numbers of those to choose from.
    :param number: how many to choose at most.
    :returns: their numbers, the one of most disagreement first.
    """
    train, offsets = data.store.events(TRAIN), data.store.session_offsets
    first = train[np.minimum(np.searchsorted(train, offsets[sessions]), len(train) - 1)]
    inside = (first >= offsets[sessions]) & (first < offsets[sessions + 1])
    order = np.argsort(-uncertainty(users, data, first[inside]).numpy(), kind="stable")
    chosen: NDArray[np.int64] = sessions[inside][order[:number]]
    return chosen
