"""Why an item comes: which past events and which words, what the reward sees, what would change it.

The score that is explained is the logarithm of the probability with which the item is the next one
among all that may be shown: a softmax of the scores, as the blend was fitted and as a policy draws.
Unlike a bare score it says that the item comes, and not its competitors. It is attributed to events
by integrated gradients (Sundararajan, Taly and Yan 2017, "Axiomatic attribution for deep networks")
from a history of as many average events. An empty history is no place to begin: norms of layers and
shares of sums do not change while all events fade alike, and jump at the end.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from lightrec.api import PADDING, Column, Key, Ranker, Recommender, State
from lightrec.data.sequences import named_events, with_only
from lightrec.encoders.text import TextEncoder
from lightrec.encoders.words import UNSPACED
from lightrec.errors import NotApplicable, RecipeError, RunError
from lightrec.policies.base import session_start
from lightrec.policies.candidate import CandidatePolicy
from lightrec.policies.mixture import Mixture
from lightrec.ranking.blend import RANKER, Blend
from lightrec_audit.masks import Past, by_leaving_out, masked

STEPS: Final = (12, 24, 48, 96, 192, 384)
"""Points of the quadrature; the next number where the completeness error is too large."""
TOLERANCE: Final = 0.02
ALONE: Final = 16
"""Number of events, those that add most, that are left out one at a time."""
TOGETHER: Final = (2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32)
"""Numbers of events that are left out together."""
COMPARED: Final = 2_000
"""Number of other items with which the reward is compared at most."""
ALIKE: Final = 0.99
"""The cosine that vectors of one text have at least."""
_LETTERS: Final = rf"[^\W{UNSPACED}]+"
_JOINED: Final = re.compile(rf"[{UNSPACED}]|{_LETTERS}(?:[-'’]{_LETTERS})*")


@dataclass(frozen=True)
class Event:
    """A past event, and what it adds to the item's score."""

    position: int
    """In the history; 1 is the oldest event."""
    item: str
    title: str
    time: str | None
    """ISO 8601, UTC; None where it is not known."""
    feedback: str | None
    """The kind of feedback, in logs with several."""
    nats: float
    share: float
    """Share of all that events add and take, -1 to 1."""


@dataclass(frozen=True)
class Word:
    """A word of the item's text, and what it adds to the ranker's part of the item's score."""

    word: str
    nats: float
    share: float


@dataclass(frozen=True)
class Reward:
    """The item's place in user model A's learned reward."""

    nats: float
    """Choosing nothing is worth 0."""
    above: float
    """Share of the other items that may be shown and have a lower reward."""
    among: int
    """Number of others that it was compared with."""


@dataclass(frozen=True)
class Change:
    """The smallest change of the history that was found after which the item would not come."""

    without: list[int]
    """Positions of the events to leave out: each is needed. Empty where no change was found."""
    rank: int | None
    """The item's place then."""
    tried: int
    """Number of events, those that add most, that were left out at most."""


@dataclass(frozen=True)
class Explanation:
    """Why an item comes."""

    user: str | None
    by: str
    """The name of the ranker."""
    item: str
    title: str
    rank: int
    k: int
    """An item comes where its place is among the first k."""
    score: float
    probability: float
    """Probability of being the next item among all that may be shown; with a goal, of its event."""
    average_probability: float
    """The same after as many average events."""
    among: int
    """Number of items that may be shown."""
    completeness_error: float
    """How far the events' sum is from the difference of the scores, as a share of it."""
    events: list[Event]
    """Those that add most first."""
    words: list[Word]
    reward: Reward | None
    change: Change | None
    """None where the item does not come anyway."""
    goal: list[str] = field(default_factory=list)
    """The kinds of events that the probability is of; every kind where there are none."""
    missing: dict[str, str] = field(default_factory=dict)
    """Why there are no ``words`` or no ``reward``, in sentences."""

    def json(self) -> str:
        """The explanation as JSON: an object with the attributes' names."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def explain(
    recommender: Recommender,
    user: str | int | None = None,
    *,
    history: str | Sequence[str] | None = None,
    kinds: Sequence[str | None] = (),
    item: str | int | None = None,
    k: int = 10,
    exclude: str | Sequence[str] = (),
    only: str | Sequence[str] = (),
    time: datetime | str | None = None,
    words: bool = True,
) -> Explanation:
    """Explain why an item comes.

    Several threads may ask at once.

    :param recommender: ranks by anything.
    :param user: as in :meth:`~lightrec.recommend.Recommender.recommend`, as are ``history``,
        ``exclude``, ``only`` and ``time``.
    :param kinds: of the history's events, as in :meth:`lightrec.data.people.People.person`.
    :param item: a title or an item id; None for the first of the list.
    :param k: an item comes where it is among the first k.
    :param words: whether to explain the item's words, too, which takes most of the time.
    :raises RecipeError: where there is no history to explain it by, where the item may not be
        shown, and as ``recommend`` does.
    """
    if user is None and history is None:
        raise RecipeError("Say whose list is to be explained: give a user of the log or a history.")
    with torch.inference_mode(False), torch.enable_grad():
        person = recommender.person(user, history, None, kinds)
        wanted, _ = recommender.allowed(exclude, only, recommender.rules)
        allowed = recommender.may_see(person, wanted, recommender.moment(time))
        case = _Case(recommender, user, person.known, allowed, item)
        return case.explained(recommender.length(k), words)


class _Case:
    """One person, one item, and what may be shown."""

    def __init__(
        self,
        recommender: Recommender,
        user: str | int | None,
        details: Mapping[str, Tensor],
        allowed: Tensor,
        item: str | int | None,
    ) -> None:
        self.recommender, self.details = recommender, details
        self.user = None if user is None else str(user)
        self.history = details[Key.HISTORY]
        self.length = self.history.shape[1]
        if not self.history.any():
            raise RecipeError(
                "There is no history, so that no event made anything come: without one, items are "
                "ranked by popularity or by attributes. Give --history or a user with events."
            )
        with torch.no_grad():
            raw = recommender.raw(details)
        self.may = allowed.scatter(1, details[Key.SEEN], False) & raw.isfinite()
        self.may[:, PADDING] = False
        scores = raw.masked_fill(~self.may, -torch.inf)
        if not self.may.any():
            raise RecipeError("Nothing may be shown to this person, so that nothing is explained.")
        self.item = int(scores.argmax()) if item is None else recommender.item(item)
        if not self.may[0, self.item]:
            why = (
                "the person has seen it"
                if allowed[0, self.item]
                else "it is excluded, out of stock, or not for this person at that time"
            )
            title = recommender.catalog[Column.TITLE][self.item - 1]
            raise RecipeError(f"“{title}” does not come, and no event changes that: {why}.")
        self.score = float(scores[0, self.item])
        self.rank = int(self.ranks(scores)[0])
        self.log_probability = float(self.target(raw))

    def target(self, scores: Tensor) -> Tensor:
        """The item's log-probability (S,) by scores (S, N + 1)."""
        return scores.masked_fill(~self.may, -torch.inf).log_softmax(1)[:, self.item]

    def ranks(self, scores: Tensor) -> Tensor:
        """The item's places (S,) by scores (S, N + 1)."""
        shown = scores.masked_fill(~self.may, -torch.inf)
        return 1 + (shown > shown[:, self.item, None]).sum(1)

    def explained(self, k: int, words: bool) -> Explanation:
        recommender = self.recommender
        counts = recommender.counts.float().index_fill(0, torch.tensor([PADDING]), 0)
        past = Past(self.details, counts / counts.sum())
        scores = masked(recommender.model, past)
        with torch.no_grad():
            opened = float(self.target(scores(torch.ones(1, self.length))))
        if not math.isclose(opened, self.log_probability, abs_tol=1e-3):
            # A model that scores otherwise than its class.
            scores = by_leaving_out(recommender.raw, past)
        nats, distance, average = integrated(lambda m: self.target(scores(m)), self.length)
        events, catalog = self.events(nats), recommender.catalog
        helpful = [event.position - 1 for event in events if event.nats > 0]
        parts: dict[str, Any] = {"reward": None, "words": []}
        missing: dict[str, str] = {}
        for part in ("reward", "words") if words else ("reward",):
            try:
                parts[part] = getattr(self, part)()
            except RunError as error:
                missing[part] = str(error)
        return Explanation(
            user=self.user,
            by=recommender.by,
            item=catalog[Column.ITEM][self.item - 1],
            title=catalog[Column.TITLE][self.item - 1],
            rank=self.rank,
            k=k,
            score=self.score,
            probability=math.exp(self.log_probability),
            average_probability=math.exp(average),
            among=int(self.may.sum()),
            completeness_error=distance,
            events=events,
            **parts,
            change=self.change(helpful, k) if self.rank <= k else None,
            goal=recommender.store.goal,
            missing=missing,
        )

    def events(self, nats: Tensor) -> list[Event]:
        """Name the events, what adds most first."""
        store, catalog = self.recommender.store, self.recommender.catalog
        times: list[str | None] = [None] * self.length
        if self.user is not None and store.has_times:
            for place, time in enumerate(self.recommender.people.times(self.user)):
                times[place] = datetime.fromtimestamp(time / 1000, UTC).isoformat()
        items = catalog[Column.ITEM][(self.history[0] - 1).tolist()]
        titles = catalog[Column.TITLE].to_list()
        named = named_events(self.details, titles, store.feedback_kinds)
        return [
            Event(at + 1, items[at], named[at][0], times[at], named[at][1] or None, each, share)
            for at, each, share in ordered(nats)
        ]

    def change(self, helpful: Sequence[int], k: int) -> Change:
        """Find events without which the item would not be among the first k.

        One event alone, if it is enough; else the fewest of those that add most, and of these only
        those that are needed.
        """
        tried = min(len(helpful), self.length - 1, TOGETHER[-1])  # one event stays
        sets = [[place] for place in helpful[: min(ALONE, tried)]]
        sets += [[*helpful[:size]] for size in sorted({min(size, tried) for size in TOGETHER})]
        if (enough := self.first_enough(sets, k)) is None:
            return Change([], None, tried)
        while enough is not None:
            left, rank = enough
            # What adds least is dropped first.
            fewer = [left[:place] + left[place + 1 :] for place in reversed(range(len(left)))]
            enough = self.first_enough(fewer, k) if len(left) > 1 else None
        return Change(sorted(place + 1 for place in left), rank, tried)

    @torch.no_grad()
    def first_enough(self, sets: Sequence[list[int]], k: int) -> tuple[list[int], int] | None:
        """The first set of events without which the item does not come, and its place.

        What was seen stays seen.
        """
        kept = torch.ones(len(sets), self.length, dtype=torch.bool)
        for row, events in enumerate(sets):
            kept[row, events] = False
        ranks = self.ranks(self.recommender.raw(with_only(self.details, kept))).tolist()
        pairs = zip(sets, ranks, strict=True)
        return next(((left, rank) for left, rank in pairs if left and rank > k), None)

    def reward(self) -> Reward:
        """Ask user model A's learned reward about the item and others that may be shown."""
        run = self.recommender.run
        if not run.has("users_a"):
            raise NotApplicable("The run has no stage users_a, which learns a reward.")
        others = self.may[0].nonzero()[:, 0]
        others = others[others != self.item]
        generator = torch.Generator().manual_seed(0)
        others = others[torch.randperm(len(others), generator=generator)[:COMPARED]]
        items = torch.cat([torch.tensor([self.item]), others])[None]
        with torch.no_grad():
            values = run.users_a.reward(self.history, items, self.details.get(Key.USER))[0]
        above = float((values[1:] < values[0]).double().mean()) if len(others) else 0.0
        return Reward(float(values[0]), above, len(others))

    def words(self) -> list[Word]:
        """Attribute the item's score to words of its text, through encoder and item tower."""
        recommender, model = self.recommender, self.recommender.model
        ranker, direction = self._direction(model)
        if ranker.items.project is None:
            raise NotApplicable("The ranker reads no vectors of texts, so that no word counts.")
        encoder = recommender.run.wishes.encoder
        if not isinstance(encoder, TextEncoder):
            raise NotApplicable(
                "The vectors are not those of a TextEncoder, so that nothing is known of words."
            )
        text = recommender.catalog[Column.TEXT][self.item - 1] or ""
        toward = ranker.items.project.weight.detach().T @ direction
        with torch.no_grad():
            states, blank, places = first_layer(encoder, text)
            vector = vectors_of_states(encoder, states)[0]
        learned = ranker.items.vectors[self.item]
        if float(torch.cosine_similarity(vector, learned, dim=0)) < ALIKE:
            raise NotApplicable("The text's vector is not the one that the ranker has learned by.")
        # Of a script without blanks, characters stand for words.
        spans = [word.span() for word in _JOINED.finditer(text)]
        owners = [
            next((n for n, (a, b) in enumerate(spans) if a <= begin < b and end > begin), -1)
            for begin, end in places
        ]
        owner = torch.tensor(owners)
        of_words = owner >= 0
        start = torch.where(of_words[:, None], blank, states)

        def score(masks: Tensor) -> Tensor:
            mixed = start + masks[..., None] * (states - start)
            return vectors_of_states(encoder, mixed) @ toward

        of_tokens = integrated(score, len(places))[0]
        nats = torch.zeros(len(spans)).index_add(0, owner[of_words], of_tokens[of_words])
        return [Word(text[slice(*spans[at])], each, share) for at, each, share in ordered(nats)]

    def _direction(self, model: object) -> tuple[Ranker, Tensor]:
        """The ranker, and what its item vector is multiplied with in the score: (D,)."""
        details = self.details
        if isinstance(model, Mixture):  # the utilities read no words
            details = model.read(details)
            model = model.blend
        history = details[Key.HISTORY]
        with torch.no_grad():
            if isinstance(model, CandidatePolicy):
                state: State = session_start(history)
                return model.ranker, model.query(state)[0, : model.ranker.size]
            weight = model.weights.get(RANKER, 0.0) if isinstance(model, Blend) else 1.0
            ranker = model.ranker if isinstance(model, Blend) else model
            if not isinstance(ranker, Ranker) or not weight:
                raise NotApplicable("The ranker has no part in the list, nor have its words.")
            return ranker, weight * ranker.user_vectors(history, details)[0]


def ordered(nats: Tensor) -> list[tuple[int, float, float]]:
    """Places of what adds to a score, (L,), with nats and shares: what adds most first."""
    shares = (nats / nats.abs().sum().clamp_min(1e-12)).tolist()
    triples = zip(range(len(nats)), nats.tolist(), shares, strict=True)
    return sorted(triples, key=lambda triple: -triple[2])


def integrated(score: Callable[[Tensor], Tensor], length: int) -> tuple[Tensor, float, float]:
    """Attribute a score to masks that rise from 0 to 1, all at once.

    :param score: from masks (S, L) to scores (S,), differentiable.
    :returns: what each mask adds (L,), how far their sum is from the difference of the scores as a
        share of it, and the score with all masks 0.
    """
    opened = torch.ones(1, length)
    with torch.no_grad():
        whole, closed = score(torch.cat([opened, 0 * opened])).tolist()
    for steps in STEPS:
        nats: Tensor = IntegratedGradients(score).attribute(opened, n_steps=steps)[0].detach()
        error = abs(float(nats.sum()) - (whole - closed)) / max(abs(whole - closed), 1e-6)
        if error <= TOLERANCE:
            break
    return nats, error, closed


def first_layer(encoder: TextEncoder, text: str) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
    """The input of an encoder's first layer for a text, and where in it each token stands.

    :returns: states (1, T, E) of its T tokens, the same with every token replaced by padding, and
        begin and end of each token: below 0 in a prompt, and equal for marks.
    :raises NotApplicable: where the model's tokenizer does not tell.
    """
    tokenizer, card = encoder.tokenizer, encoder.card
    if not tokenizer.is_fast:
        raise NotApplicable(f"The tokenizer of {encoder.model} does not tell where tokens stand.")
    read = card.prompt + (text.lower() if card.lower else text)
    settings = {"truncation": True, "max_length": card.max_length, "return_tensors": "pt"}
    tokens = tokenizer(read, return_offsets_mapping=True, **settings)
    model = encoder.load_weights()
    numbers: Tensor = tokens["input_ids"].to(next(model.parameters()).device)
    blank = torch.full_like(numbers, tokenizer.pad_token_id or 0)
    with torch.no_grad():
        states, blanks = map(model.get_input_embeddings(), (numbers, blank))  # type: ignore[operator]
    begin = len(card.prompt)
    places = [(int(a) - begin, int(b) - begin) for a, b in tokens["offset_mapping"][0]]
    return states, blanks, places


def vectors_of_states(encoder: TextEncoder, states: Tensor) -> Tensor:
    """Vectors ``(n, size)`` of what the first layer reads, ``(n, T, E)``."""
    mask = torch.ones(states.shape[:2], dtype=torch.int64, device=states.device)
    return encoder({"inputs_embeds": states, "attention_mask": mask})
