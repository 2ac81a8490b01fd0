"""Active learning: whose choices are worth asking for next.

An ensemble of user models disagrees where the log has told it little. Sessions are asked for in the
order of that disagreement (Houlsby et al. 2011, "Bayesian active learning for classification and
preference learning"), before anything that was chosen in them is known.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightrec.data.store import TRAIN, EventStore
from lightrec.keys import Key
from lightrec.users.choice_data import ChoiceData
from lightrec.users.user_model import UserModel


def first_events(store: EventStore, sessions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of the first training event of each session, or -1 where it has none."""
    begins, ends = store.session_offsets[sessions], store.session_offsets[sessions + 1]
    train = store.events(TRAIN)
    place = np.minimum(np.searchsorted(train, begins), len(train) - 1)
    found = train[place]
    return np.where((found >= begins) & (found < ends), found, -1)


def events_of(store: EventStore, sessions: NDArray[np.int64]) -> NDArray[np.int64]:
    """All training events of some sessions, ascending: what ``ChoiceData``'s ``events`` takes."""
    train = store.events(TRAIN)
    own = np.searchsorted(store.session_offsets, train, side="right") - 1
    return train[np.isin(own, sessions)]


@torch.no_grad()
def uncertainty(users: UserModel, data: ChoiceData, events: NDArray[np.int64]) -> Tensor:
    """How much an ensemble disagrees on what will be taken, in nats: (E,) of events' offers."""
    found = []
    for begin in range(0, len(events), 2048):
        rows = events[begin : begin + 2048]
        batch = data.sets[(data.seed, 0, 0, begin), rows]
        sets = batch[Key.CANDIDATES][: len(rows)]
        found.append(users.predict(batch[Key.HISTORY], sets)[1])
    return torch.cat(found)


def most_informative(
    users: UserModel, data: ChoiceData, sessions: NDArray[np.int64], number: int
) -> NDArray[np.int64]:
    """Choose sessions whose choices to ask for.

    :param users: fitted to what is known so far.
    :param data: of the log; read are histories and offers at the first training events.
    :param sessions: (S,) numbers of those to choose from.
    :param number: how many to choose at most.
    :returns: their numbers, the one of most disagreement first.
    """
    first = first_events(data.store, sessions)
    sessions, first = sessions[first >= 0], first[first >= 0]
    order = np.argsort(-uncertainty(users, data, first).numpy(), kind="stable")
    chosen: NDArray[np.int64] = sessions[order[:number]]
    return chosen
