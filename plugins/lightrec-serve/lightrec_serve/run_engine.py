"""A run that answers as `lightrec recommend` does."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from lightrec_export.worth import worth_in
from lightrec_rules.rules import RuleBook, Standing
from torch import Tensor
from torch.nn.functional import pad

from lightrec.api import Column, Key, Past, RecipeError
from lightrec.data.domain import showable_to, with_texts
from lightrec.data.people import Person, with_events
from lightrec.data.sequences import without_each
from lightrec.errors import LightrecError, RunError
from lightrec.ranking.lists import diversified
from lightrec.ranking.ranker import likeness
from lightrec_serve.catalog import Catalog
from lightrec_serve.engine import Engine, Query, Ranked
from lightrec_serve.newcomers import Newcomers
from lightrec_serve.slates import LEFT_OUT, chosen, marked, reasons

if TYPE_CHECKING:
    from lightrec.api import Recommender


class RunEngine(Engine):
    """A finished run.

    :param path: its folder; the version that answers is opened once.
    :param by: what ranks; None for what the run's evaluation favours.
    :param temperature: of drawn slates.
    :raises RunError: where the run lacks a stage, or its stages do not belong together.
    """

    def __init__(self, path: Path, by: str | None = None, temperature: float = 1.0) -> None:
        from lightrec.api import Recommender  # not where an export answers

        self.path, self.temperature = path, temperature
        self._recommenders: dict[str | None, Recommender] = {None: Recommender(path, by)}
        self.usual = self._recommenders[None]
        self._recommenders[self.usual.by] = self.usual
        self.store, self.domain = self.usual.store, self.usual.run.domain
        self.feedback_kinds = self.store.feedback_kinds
        self.log_users = self.store.user_ids if self.store.has_users else ()
        self.repeats, self.note = self.store.repeats, self.domain.disclaimer
        if self.domain.restricts and self.store.has_times:
            self.last = datetime.fromtimestamp(self.store.times.max() / 1000, UTC)
        self.worth, self.goal = worth_in(self.usual.run), self.store.goal
        self.catalog = Catalog(self.store.catalog, self.store.item_kinds, self.usual.names)
        find = lambda name: self.catalog.find([name])[0]  # noqa: E731
        self.book = RuleBook(self.usual.run.base, find, self.usual.people.attributes)
        counts = torch.from_numpy(self.store.popularity())[: self.store.num_items + 1]
        encode, vectors = None, torch.zeros(len(counts), 0)
        with suppress(RunError):  # where the ranker reads no texts, words alone say what is near
            encoder = self.usual.run.wishes.encoder
            encode = None if encoder is None else encoder.encode_once
        if encode is not None:
            vectors = self.usual.run.ranker.items.vectors
        self.newcomers = Newcomers(self.catalog.items, vectors, encode, counts > 0)
        _ = self.usual.people.outside, self.usual.people.whose
        # So that the first person does not wait for what is loaded when it is first asked for.
        self.answer([Query(k=1), Query(user=next(iter(self.users(1)), None), k=1)])
        if encode is not None:
            encode(["warm up"])

    def about(self) -> dict[str, Any]:
        """Name the run, its version and domain, and why it ranks as it does."""
        run = self.usual.run
        return {
            "run": run.name,
            "version": run.version,
            "domain": self.domain.name,
            "by": self.usual.by,
            "reason": self.usual.reason,
            "items": len(self.catalog),
            "users": self.store.num_users,
            "goal": [*self.goal],
            "rules": self.rules.mark if self.rules else "",
        }

    def known_as(self, user: str) -> str:
        """The id by which the run knows a person, for any of their ids."""
        return self.usual.people.known_as(user)

    def check_profile(self, profile: Mapping[str, Any]) -> None:
        """Refuse attributes that the run does not know."""
        self.usual.person(None, None, profile)

    def past(self, user: str, most: int) -> Sequence[tuple[int, str | None, int | None]]:
        """Items of a person's last events in the log, with their kinds and times."""
        row, store = self.usual.people.rows.get(self.known_as(user)), self.store
        if row is None:
            return []
        begin, end = store.offsets[row : row + 2].tolist()
        newest = range(end - 1, max(begin, end - most) - 1, -1)
        names, kinds = [None, *self.feedback_kinds], store.feedback
        return [
            (
                int(store.items[at]),
                None if kinds is None else names[kinds[at]],
                int(store.times[at]) if store.has_times else None,
            )
            for at in newest
        ]

    def recommender(self, by: str | None) -> "Recommender":
        """A recommender by something else than usual, loaded when it is first needed."""
        if by is not None and by not in self._recommenders:
            self._recommenders[by] = self.usual.ranked_otherwise(by)
        return self._recommenders[by]

    def ready(self, query: Query) -> bool:
        """Whether the names, conditions and ranker of a query are known, and it has no words."""
        return super().ready(query) and query.by in self._recommenders

    def read(self, query: Query) -> None:
        """Read names, conditions and what is asked in words, and load what ranks."""
        super().read(query)
        recommender = self.recommender(query.by)
        if query.ask is not None:
            user, history, kinds = self._whom(query)
            known = recommender.person(user, history, query.profile, kinds).known
            kind = "history" if known[Key.HISTORY].any() else "alone"
            recommender.wished(query.ask, kind)

    def answer(self, queries: Sequence[Query]) -> list[Ranked | LightrecError]:
        """Answer queries; those of people with histories are scored together."""
        answers: list[Ranked | LightrecError] = [RunError("Not answered.")] * len(queries)
        groups: dict[tuple[object, ...], list[tuple[int, Query, Person]]] = {}
        for place, query in enumerate(queries):
            try:
                user, history, kinds = self._whom(query)
                ranker = self.recommender(query.by)
                person = ranker.person(user, history, query.profile, kinds)
            except LightrecError as error:
                answers[place] = error
                continue
            alone = None if query.ask is None and person.known[Key.HISTORY].any() else place
            key = query.by, alone, *sorted(person.known)
            groups.setdefault(key, []).append((place, query, person))
        for group in groups.values():
            began = perf_counter()
            try:
                recommender = self.recommender(group[0][1].by)
                scores = recommender.scores(together([p for *_, p in group]), group[0][1].ask)
            except LightrecError as error:
                for place, *_ in group:
                    answers[place] = error
                continue
            spent = (perf_counter() - began) / len(group)
            for (place, query, person), row in zip(group, scores, strict=True):
                try:
                    answers[place] = self._choose(query, person, row, recommender.ranked_by, spent)
                except LightrecError as error:
                    answers[place] = error
        return answers

    def explain(self, query: Query, item: str) -> dict[str, Any]:
        """The reasons at length why an item comes."""
        from lightrec_audit.explain import explain

        number = self.catalog.number(item)
        if number is None or number > self.catalog.size:
            raise RecipeError("Nothing was learned of an item that was put while serving.")
        user, history, kinds = self._whom(query)
        events: dict[str, Any] = {"history": history or None, "kinds": kinds}
        events |= {"item": item, "k": query.k, "time": query.time}
        events |= {"exclude": query.exclude, "only": query.only}
        return asdict(explain(self.recommender(query.by), user, **events))

    def _whom(self, query: Query) -> tuple[str | None, list[str], list[str | None]]:
        """The user, if the run knows one, and the items and kinds of events since."""
        user, past = self._user(query)
        tell = bool(self.goal and self.feedback_kinds)  # else an item is had by any event
        past = past if tell else {(number, None) for number, _ in past}
        history, kinds = list[str](), list[str | None]()
        for place, (number, kind) in enumerate(self.events(query)):
            same = number, kind if tell else None
            if place < len(query.history) or same not in past:
                history.append(self.catalog.describe(self.stands_for(number))[0])
                kinds.append(kind)
        return user, history, kinds

    def _user(self, query: Query) -> tuple[str | None, set[tuple[int, str | None]]]:
        """The user, if the run knows one, and their events in the log, where none comes again."""
        people = self.usual.people
        user = None if query.user is None else self.known_as(query.user)
        user = user if user in people.rows or user in people.outside.rows else None
        if user is None or self.repeats:  # an updated log has what was stored before
            return user, set()
        known, names = people.person(user).known, [None, *self.feedback_kinds]
        numbers = known.get(Key.FEEDBACK, known[Key.HISTORY] * 0)[0].tolist()
        pairs = zip(known[Key.HISTORY][0].tolist(), numbers, strict=True)
        return user, {(number, names[kind]) for number, kind in pairs}

    def _choose(
        self, query: Query, person: Person, scores: Tensor, by: str, spent: float
    ) -> Ranked:
        began = perf_counter()
        allowed = self.catalog.allowed(query.exclude, query.only, query.candidates)
        allowed &= self._eligible(person, query)
        allowed[person.known[Key.SEEN][0]] = False
        if query.discover:
            history = person.known[Key.HISTORY][0]
            allowed[history[history <= self.catalog.size]] = False
        allowed[self.barred(query)] = False
        whole = torch.cat([scores, self.newcomers.mixed(scores)])
        rules = self.rules
        if by == "attributes" and (rules is not None or query.draw):
            whole = whole.clamp_min(1e-30).log()  # shares; both go by logarithms of weights
        if rules is not None:
            allowed &= rules.there
            whole = whole + rules.boost
        logits = whole.masked_fill(~allowed, -torch.inf)
        if by == "popularity" and not (query.draw or query.new):
            ranked = self._varied(allowed, query.k, rules, person.row)
        else:
            recent = pad(~self.newcomers.warm, (0, self.catalog.live.height), value=True)
            ranked = chosen(logits, recent, query, self.temperature, by, rules, person.row)
        if query.explain and person.known[Key.HISTORY].any():
            self._explain(ranked, query, person, allowed)
        ranked.seconds = {"tower": spent, "search": perf_counter() - began}
        return ranked

    def _explain(self, ranked: Ranked, query: Query, person: Person, allowed: Tensor) -> None:
        """Ask what each event did: score the person without it, by the same request and filters."""
        events, known = without_each(person.known, LEFT_OUT)
        rows = pl.concat([person.row] * (len(events) + 1))
        raw = self.recommender(query.by).scores(Person(known, rows), query.ask)
        logits = torch.cat([raw, self.newcomers.mixed(raw)], -1).masked_fill(~allowed, -torch.inf)
        ranked.why = reasons(events, logits.log_softmax(-1)[:, ranked.items])

    def _varied(
        self, allowed: Tensor, k: int, rules: Standing | None, people: pl.DataFrame
    ) -> Ranked:
        """Popular items that differ from each other, for somebody of whom nothing is known."""
        counts, vectors = self.usual.popularity.counts, self.usual.blend.ranker.item_vectors()
        whole = torch.cat([counts, self.newcomers.mixed(counts)])
        popular = whole.masked_fill(~allowed, -torch.inf)
        vectors = torch.cat([vectors, self.newcomers.mixed(vectors.T).T])
        if rules is None:
            items, scores = diversified(popular, vectors, k)
        else:
            items, scores = (x[0] for x in rules.varied(popular[None], vectors, k, people))
        items, scores = items[items > 0], scores[items > 0]
        ranked = Ranked(items.tolist(), scores.tolist(), "popularity", [1.0] * len(items))
        return ranked if rules is None else marked(ranked, rules, popular, k, people)

    def _eligible(self, person: Person, query: Query) -> Tensor:
        """The items that the domain lets a person see, (N + L + 1,) bool, put ones among them."""
        domain, store, items = self.domain, self.store, self.catalog.whole
        everything = torch.ones(items.height + 1, dtype=torch.bool)
        if not domain.restricts:
            return everything
        when = store.times.max()
        if (asked := self.usual.moment(query.time)) is not None:
            when = int(asked.timestamp() * 1000)
        appeared = None
        if domain.lifetime is not None:
            appeared = np.append(store.first_seen, [when] * self.catalog.live.height)
            if self.catalog.kinds.get("created") == "date":
                created = items["created"].dt.epoch("ms")
                appeared = created.fill_null(pl.Series(appeared)).to_numpy()
        past = Past.of(self._past(query), self.feedback_kinds) if domain.by_history else None
        mask = showable_to(
            domain,
            person.row,
            items,
            np.array([when]) if store.has_times else None,
            appeared,
            asked=asked is not None,
            past=past,
            lookups=self.catalog.lookups,
        )
        return everything if mask is None else torch.from_numpy(mask[0])

    def _past(self, query: Query) -> dict[str, Tensor]:
        """What a person did, new items and unwanted events among it, as the domain is asked by."""
        user, before = self._user(query)
        events: list[tuple[int, str | None, int]]
        events = [(number, None, 0) for number in self.catalog.find(query.history)]
        wanted, session = {*zip(query.accepted, query.kinds, strict=False)}, 0
        for place, (item, kind, time) in enumerate(query.done):
            if kind in self.feedback_kinds or (item, kind) in wanted:
                same = kind if self.feedback_kinds else None
                there = [n for n in self.catalog.numbers([item]) if (n, same) not in before]
                events += [(number, kind, time) for number in there]
                session += len(there) * (place >= query.earlier)
        numbers, kinds, times = map(list, zip(*events, strict=True)) if events else ([], [], [])
        known = self.usual.people.person(user, None, query.profile).known
        known = with_events(known, numbers, kinds, self.feedback_kinds, self.goal, self.repeats)
        moments = known.get(Key.TIME, torch.zeros_like(known[Key.HISTORY]))
        moments[:, moments.shape[1] - len(times) :] = torch.tensor(times)
        session += len(query.history) * (query.earlier == 0)
        return known | {Key.TIME: moments, Key.SO_FAR: torch.tensor([session])}

    def checked(self, item: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """An item's row, which the field puts into words where its text is not given."""
        table = self.catalog.row(item, row)
        if row.get(Column.TEXT):
            return dict(row)
        return dict(row) | {Column.TEXT: with_texts(self.domain, table)[Column.TEXT][0]}

    def similar(self, number: int, query: Query) -> tuple[list[int], list[float]]:
        """The items that are chosen near an item and whose texts are like its."""
        person = self.usual.person(self._user(query)[0], None, query.profile)
        allowed, k = self._eligible(person, query), query.k
        if number > self.catalog.size:
            place = number - self.catalog.size - 1
            near, loud = self.newcomers.near[place], self.newcomers.loud[place]
            near, loud = near[allowed[near]], loud[allowed[near]]
            order = loud.argsort(descending=True)[:k]
            return near[order].tolist(), (loud[order] / loud.max()).tolist()
        alike = likeness(self.usual.blend.ranker, self.usual.counts, number)
        return self.best(alike.masked_fill(~allowed[: len(alike)], -torch.inf), k)


def together(people: Sequence[Person]) -> Person:
    """Make one batch of people of whom the same is known."""
    if len(people) == 1:
        return people[0]
    known = {}
    for key in people[0].known:
        tables = [person.known[key] for person in people]
        width = max(table.shape[-1] for table in tables)
        rows = (pad(t, (width - t.shape[-1], 0)) if t.ndim > 1 else t for t in tables)
        known[key] = torch.cat(list(rows))
    return Person(known, pl.concat([person.row for person in people]))
