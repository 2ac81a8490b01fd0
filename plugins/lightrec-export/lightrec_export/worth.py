"""Worth of events by their kind of feedback, and which of them are a success."""

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from lightrec.data.domain import Domain

if TYPE_CHECKING:
    from lightrec.run import Run

DISMISSED: Final = {"dismissed": -1.0}
"""Worth of the kind that a slate's reader sends of what is not wanted."""


def worth_in(run: "Run") -> dict[str, float]:
    """The worth of an event of each kind: the run's own weights, and of other kinds the field's."""
    weights = run.data.meta["settings"]["weights"]
    logged = dict.fromkeys(run.data.feedback_kinds, 1.0) if weights is None else weights
    return {**run.domain.feedback, **logged}


def worth_of(
    kinds: Iterable[str], named: Mapping[str, float], goal: Collection[str] = ()
) -> dict[str, float]:
    """The worth of an event of each kind, of one that is not named as a log says.

    :param goal: the kinds that are to be brought about.
    """
    kinds = list(kinds)
    usual = dict.fromkeys(kinds, 1.0) | (Domain().weights(kinds, [*goal]) or {}) | DISMISSED
    return {kind: named.get(kind, usual[kind]) for kind in kinds}


def earnings(worth: Mapping[str, float], goal: Collection[str]) -> dict[str, float]:
    """Earnings of who showed an item, by the event's kind: with a goal, of the goal's kinds."""
    return {k: 0.0 if goal and k not in goal and each > 0 else each for k, each in worth.items()}
