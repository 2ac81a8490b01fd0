"""Reasons in words: for which past events an item comes, and nothing else.

What speaks for an item is attributed by :mod:`lightrec_audit.explain`. An event that does is
named where the history without the event says so, too: both the item's score and its
log-probability are lower, the latter by :data:`LEAST` or more, and both move further than without
any other event but two. Sentences are filled in and never written freely.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from lightrec_audit.explain import explain
from torch import Tensor

from lightrec.data.people import Person
from lightrec.data.sequences import with_only
from lightrec.errors import RecipeError
from lightrec.keys import Column, Key
from lightrec.recommend import Recommender

LEAST: Final = 0.05
"""Nats that an item loses without an event that is named: it is less likely by 5 % or more."""
FIRST: Final = 3
"""Number of events, those whose deletion moves an item's score most, of which one is named."""
AT_ONCE: Final = 1 << 24
"""Scores that are held at once."""


@dataclass(frozen=True)
class Wording:
    """The sentences that may be said, in one language.

    ``{item}`` stands for the item's title and ``{events}`` for those of the events.
    """

    because: str = "“{item}” comes because of {events}."
    nothing: str = "No single event stands out for “{item}”."
    popularity: str = "“{item}” is popular; nothing is known of this person."
    attributes: str = "“{item}” is what people with the same attributes choose."
    title: str = "“{}”"
    last: str = " and "
    """Stands before the last of several titles, and a comma between the others."""

    def sentence(self, item: str, events: Sequence[str]) -> str:
        """Say for which events an item comes, in the given order."""
        *others, last = [self.title.format(event) for event in events]
        named = self.last.join([", ".join(others), last]) if others else last
        return self.because.format(item=item, events=named)


ENGLISH: Final = Wording()


@dataclass(frozen=True)
class Cause:
    """A past event that an item comes for."""

    position: int
    """In the history; 1 is the oldest event."""
    item: str
    title: str
    nats: float
    """Nats that it adds to the item's log-probability by the attribution."""
    lost: float
    """Nats that the log-probability loses without it."""


@dataclass(frozen=True)
class Reason:
    """Why an item of a slate comes."""

    rank: int
    item: str
    title: str
    text: str
    events: list[Cause]
    """Events, those that add most first; empty where nothing stands out."""


def reasons(
    recommender: Recommender,
    user: str | int | None = None,
    *,
    history: str | Sequence[str] | None = None,
    k: int = 5,
    exclude: str | Sequence[str] = (),
    only: str | Sequence[str] = (),
    events: int = 2,
    wording: Wording = ENGLISH,
) -> list[Reason]:
    """Recommend, and say of each item why it comes.

    :param recommender: ranks by what it favours, or was asked to rank by.
    :param user: as in :meth:`~lightrec.recommend.Recommender.recommend`, as are ``history``, ``k``,
        ``exclude`` and ``only``.
    :param events: at most so many events are named for an item.
    :returns: a reason for each item, best first.
    :raises RecipeError: as ``recommend`` and :func:`~lightrec_audit.explain.explain` do.
    """
    if events < 1:
        raise RecipeError(f"events is {events}; let at least 1 event be named.")
    request: dict[str, Any] = {"history": history, "exclude": exclude, "only": only}
    slate = recommender.recommend(user, k=k, **request)
    rows = zip(slate["rank"], slate[Column.ITEM], slate[Column.TITLE], strict=True)
    if (by := recommender.ranked_by) in ("attributes", "popularity"):
        said = wording.attributes if by == "attributes" else wording.popularity
        return [Reason(*row, text=said.format(item=row[2]), events=[]) for row in rows]
    person = recommender.person(user, history)
    allowed = recommender.may_see(person, recommender.allowed(exclude, only)[0])
    items = torch.tensor([recommender.item(item) for item in slate[Column.ITEM]], dtype=torch.long)
    lost = without_each(recommender, person, allowed, items)
    answers = []
    for (rank, item, title), falls in zip(rows, lost.unbind(2), strict=True):
        most = falls.abs().topk(min(FIRST, falls.shape[1])).values[:, -1:]
        matters = ((falls >= most) & (falls > 0)).all(0) & (falls[0] >= LEAST)
        causes = [
            Cause(event.position, event.item, event.title, event.nats, float(falls[0, place]))
            for event in explain(recommender, user, item=item, k=k, words=False, **request).events
            if matters[place := event.position - 1] and event.nats > 0
        ][:events]
        text = wording.nothing.format(item=title)
        if causes:
            text = wording.sentence(title, [*dict.fromkeys(cause.title for cause in causes)])
        answers.append(Reason(rank, item, title, text, causes))
    return answers


@torch.inference_mode()
def without_each(
    recommender: Recommender, person: Person, allowed: Tensor, items: Tensor
) -> Tensor:
    """Delete each event of a history in turn; what was seen stays seen.

    :param allowed: (1, N + 1) bool, what may be shown to the person.
    :param items: (K,) int64.
    :returns: (2, L, K) float32: what each item's log-probability loses, in nats, and its score.
    """
    length = person.known[Key.HISTORY].shape[1]
    may = allowed.scatter(1, person.known[Key.SEEN], False)

    def both(kept: Tensor) -> Tensor:
        scores = recommender.raw(with_only(person.known, kept))
        likely = scores.masked_fill(~may, -torch.inf).log_softmax(1)
        return torch.stack([likely[:, items], scores[:, items]])

    whole = both(torch.ones(1, length, dtype=torch.bool))
    kept = ~torch.eye(length, dtype=torch.bool)
    rows = max(1, AT_ONCE // allowed.shape[1])
    return whole - torch.cat([both(some) for some in kept.split(rows)], 1)


def as_json(answers: Sequence[Reason]) -> str:
    """Reasons as JSON: a list of objects with the attributes' names."""
    rows: list[Mapping[str, Any]] = [asdict(reason) for reason in answers]
    return json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
