"""Batches of choices that also hold the next step, for learners that read it."""

import numpy as np
import torch
from numpy.typing import NDArray

from lightrec.data.store import TEST, VALIDATION
from lightrec.keys import PADDING, Key
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_sets import Batch, ChoiceSets, Request
from lightrec.users.parts_fitting import SessionTable


class NextSteps(ChoiceSets):
    """Batches with the offer of the step after a choice, or why there is none.

    Next to those of :class:`~lightrec.users.choice_sets.ChoiceSets`: ``next_candidates`` (R, C),
    and ``ended`` and ``cut`` (R,) bool. An event that is held out cuts its session. Where the log
    has no sets, and after a set that is declined by assumption, the next offer is drawn like the
    one before.

    :param sets: whose batches they are.
    :param ended: (E,) whether a session ended with an event; the last events of other sessions
        count as cut.
    """

    def __init__(self, sets: ChoiceSets, ended: NDArray[np.bool_]) -> None:
        self.__dict__ |= vars(sets)
        self.ended = ended
        self.last = np.zeros(len(self.store), bool)
        self.last[self.store.session_offsets[1:] - 1] = True
        held_out = np.isin(np.asarray(self.store.parts), (VALIDATION, TEST))
        self.last[:-1] |= held_out[1:]

    def __getitem__(self, request: Request) -> Batch:
        """The batch of some events, whose sets are the same as without the next step."""
        batch, (seeds, events) = super().__getitem__(request), request
        generator = np.random.default_rng((*seeds, len(seeds)))
        users = self.store.users_of(events)
        ended, last = self.ended[events], self.last[events]
        sets = self.offers(users, events + 1, generator)  # an item taken counts as met
        following = [np.where(last[:, None], PADDING, sets), ended, last & ~ended]
        if len(batch[Key.CHOICE]) > len(events):
            goes_on = np.zeros(len(events), bool)
            again = [self.declined(users, events, generator), goes_on, goes_on]
            following = [np.concatenate(pair) for pair in zip(following, again, strict=True)]
        keys = (Key.NEXT_CANDIDATES, Key.ENDED, Key.CUT)
        return batch | dict(zip(keys, map(torch.from_numpy, following), strict=True))


def read_next(data: ChoiceData, leave_rate: float) -> None:
    """Let a data module's batches hold the next step, too."""
    ended = np.zeros(len(data.store), bool)
    # Without declined slates a session may go on after the last choice; and with a leave rate the
    # discount contains the ends already.
    if data.store.has_nothing and leave_rate == 0:
        table = SessionTable(data)
        ended[table.ends[~table.cut] - 1] = True
    data.sets = NextSteps(data.sets, ended)
