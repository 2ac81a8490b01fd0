"""The training events of a prepared log, as transitions that learners offline learn from."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from tensordict import TensorDict
from torch import Tensor

from lightrec.data.store import CONTEXT, TRAIN, EventStore
from lightrec.errors import NotApplicable
from lightrec.keys import PADDING, Column, Key
from lightrec.learners.transitions import PACKED, pack
from lightrec.rewards.base import Reward
from lightrec.simulators.user_model import LogStarts

PAID_AT_ONCE: Final = 4096
"""Transitions that are paid at once."""
MASK_CELLS: Final = 2**26
"""Cells of masks that are written at once."""
MOST_BYTES: Final = 8e9
"""Bytes that the masks of all transitions may take."""


def logged_sessions(
    store: EventStore,
    starts: LogStarts,
    reward: Reward,
    *,
    history_length: int,
    slate_size: int,
    max_steps: int,
) -> TensorDict:
    """The events of users before the held-out ones as transitions.

    What was shown is what the user could choose from, where the log says that and it is as many
    items as a slate has. Else it is the item alone, in a log in which something was always chosen.
    An item is taken if it was chosen, its kind of feedback is of positive worth and, where the log
    has a goal, one of the goal. Sessions are those of the log; a user's last one is cut where the
    held-out events begin, and so is a session after ``max_steps``. An event without an offer, in a
    log that has some, is a step of its session, and no transition: the one before it is cut there.
    Of a slate from which several items were taken, each item's event is a step.

    :param store: without cold events.
    :param starts: of its users; those from whom it draws are taken.
    :param reward: pays (B, 1) for transitions, see :class:`~lightrec.rewards.base.Reward`.
    :param history_length: L, of the histories in states.
    :returns: (R,) as :meth:`~lightrec.learners.simulator_data.SimulatorData.log` says; the
        logarithm of the propensity only where the log knows that of every event, and it is not
        that of an offer from which the item was chosen.
    :raises NotApplicable: where slates of several items are asked for and not known, nothing was
        chosen of offers that are no slates, no event is left, or masks would not fit into memory.
    """
    shown = _shown(store, slate_size)
    events = np.flatnonzero(np.isin(store.parts, (TRAIN, CONTEXT)))
    users = store.users_of(events)
    kept = np.isin(users, starts.users.numpy()) & (events < store.train_ends()[users])
    events, users = events[kept], users[kept]
    items = np.asarray(store.items)[events]
    slate = items[:, None] if shown is None else shown[events]
    offered = (slate != PADDING).any(1)
    if not offered.any():
        raise NotApplicable("No training event of these users shows an item.")
    if shown is None and (declined := int((items > store.num_items).sum())):
        raise NotApplicable(
            f"In {declined:,} of {len(items):,} training events nothing was chosen, and the log "
            "does not say which single item was shown then. Without these events the log would "
            "seem to please everybody. Set slate_size to the number of items in an offer, or take "
            "a log without declined offers."
        )
    size = 2 * len(events) * (store.num_items // 8 + 1)
    if size > MOST_BYTES:
        raise NotApplicable(
            f"{len(events):,} events of a catalog of {store.num_items:,} items take "
            f"{size / 1e9:.0f} GB to say what may be shown, and at most {MOST_BYTES / 1e9:.0f} are "
            "meant to be taken. Learn from fewer items: prepare the log with a larger k_core."
        )
    session, places = store.sessions_of(events), np.arange(len(events))
    first = np.r_[True, session[1:] != session[:-1]]
    step = places - np.maximum.accumulate(np.where(first, places, 0))
    first |= step % max_steps == 0
    begins = np.maximum.accumulate(np.where(first, places, 0))  # each session's first event
    step = places - begins
    done = np.r_[first[1:], True]
    cut = np.r_[users[1:] != users[:-1], True] | ((step + 1) % max_steps == 0)
    before_gap = np.r_[~offered[1:], False] & ~done
    done, cut = done | before_gap, cut | before_gap
    strength = np.nan_to_num(np.asarray(store.strengths)[events])
    taken = (slate == items[:, None]) & ((strength > 0) & store.reaches[events])[:, None]
    value = np.where(taken, strength[:, None], 0.0)
    before = taken.any(1).cumsum() - taken.any(1)
    total = torch.from_numpy(before - before[begins]).float().unsqueeze(1)
    who, when = torch.from_numpy(users), torch.from_numpy(events)
    accepted = torch.from_numpy(taken.any(1)).float().unsqueeze(1)

    def state(ends: Tensor, step: Tensor, total: Tensor) -> TensorDict:
        some = max(1, MASK_CELLS // (store.num_items + 1))
        masks = [
            pack(starts.showable(*part, store.num_items))
            for part in zip(who.split(some), ends.split(some), strict=True)
        ]
        parts = {
            Key.USER: who,
            Key.HISTORY: starts.history(who, ends, history_length),
            Key.STEP: step,
            Key.ACCEPTED_TOTAL: total,
            PACKED: torch.cat(masks),
        }
        return TensorDict(parts, [len(who)])

    steps = torch.from_numpy(step).unsqueeze(1)
    rows = state(when, steps, total)
    rows[Key.ACTION] = torch.from_numpy(slate).long()
    rows["next"] = state(when + 1, steps + 1, total + accepted)
    rows["next"].update(
        {
            Key.TAKEN: torch.from_numpy(taken),
            Key.VALUE: torch.from_numpy(value).float(),
            "done": torch.from_numpy(done).unsqueeze(1),
            "terminated": torch.from_numpy(done & ~cut).unsqueeze(1),
        }
    )
    # With offers that are no slates, propensities are those of the offers.
    of_items = store.candidates is None or shown is not None
    if of_items and Column.PROPENSITY in store.log.columns:
        propensity = store.log[Column.PROPENSITY].gather(events)
        if not propensity.null_count():
            rows[Key.LOG_PROBABILITY] = propensity.to_torch().log().float()
    rows = rows[torch.from_numpy(offered)]
    with torch.no_grad():
        paid = [reward(part.exclude(PACKED)) for part in rows.split(PAID_AT_ONCE)]
    rows["next", "reward"] = torch.cat(paid).float()
    return rows


def _shown(store: EventStore, slate_size: int) -> NDArray[np.int32] | None:
    """Items shown at each event, (E, K); None where it is the item alone."""
    candidates = store.candidates
    if candidates is not None and candidates.shape[1] == slate_size:
        return candidates
    if slate_size == 1:
        return None
    longest = 0 if candidates is None else candidates.shape[1]
    offers = f"its offers have up to {longest} items" if longest else "it has no offers"
    raise NotApplicable(
        f"The policy shows {slate_size} items at once, and the log does not say which ones were "
        f"shown together: {offers}. Set slate_size to 1, or take a log whose candidates are the "
        "slates."
    )
