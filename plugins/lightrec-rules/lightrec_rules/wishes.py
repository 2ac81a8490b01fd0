"""Requests in words: how well each item answers a sentence, and what that counts next to a history.

A request either says an item's words, or says in other words what it is about. How much more likely
it is to be said of item i than of any item is the mean of the two likelihoods::

    product over words q of  share * [q in i] * M / (m * n)  +  (1 - share) * near(focus, q, i)
    near(sharpness, whole request, i)

with M words in all items, m in i, and n items that have the word q. ``near(f, q, i)`` is
``exp(f * c(q, i))`` over its mean over items, with c the cosine of vectors. The first is the query
likelihood of Ponte and Croft (1998), with a translation (Berger and Lafferty 1999) in the place of
smoothing; to the second it costs nothing that other items have a paraphrase's words by chance. A
word counts by how far the request's vector moves without it, relative to the largest such move:
grammar counts little, in every language that the encoder reads.
"""

import json
import math
from collections.abc import Mapping, Sequence, Set
from functools import cached_property
from itertools import chain, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self
from zlib import crc32

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import normalize

from lightrec.api import Column, EventStore, Key
from lightrec.encoders.base import Encoder, encoded, unit_vectors
from lightrec.encoders.words import word_table, words_of
from lightrec.errors import RecipeError, RunError, say
from lightrec.nn.item_tower import ItemTower
from lightrec.ranking.blend import Blend, log_shares
from lightrec.ranking.blend_weights import ABSENT, Candidates, fit_weights, weighed
from lightrec.ranking.item_models.base import popular
from lightrec.trust import ARGUMENTS, built

if TYPE_CHECKING:
    from lightrec.ranking.evaluation_events import EvaluationEvents

GRAMMAR: Final = frozenset(
    words_of(
        "a an and are as at be by for from i in is it me my of on or our some that the this to "
        "want with you your das dem den der des die ein eine einem einen einer etwas für ich im "
        "ist mein mit oder und von zu zum zur au aux avec de du en et la le les mon ou par pour "
        "sur un une con da del di e el il las los mi o para per por una uno y"
    )
)
"""Words of English, German, French, Spanish and Italian that say nothing of what is wanted."""
ENDINGS: Final = frozenset(["", *words_of("s es e en n er ern ed ing y ies f fe ves")])
"""Ends of words that may be forms of one, behind what they share."""
FILE: Final = "wishes.json"
HISTORY, ALONE = "history", "alone"
SOUGHT: Final = {
    "share": (0.6, 0.3, 0.9),  # of words that an item has
    "focus": (2.5, 1.25, 5.0),  # of a word's cosine, in cosines as two items have them on average
    "sharpness": (2.5, 1.25, 5.0),  # of the whole request's cosine
}
"""Weights that are tried, one after the other."""
EVENTS: Final = 500
"""Number of validation events for which a request is invented."""
COLUMNS: Final = 4_096
"""Number of items that stand for all others where the catalog is larger."""
LONGEST: Final = 5
"""Words of an invented request, at most."""
REPLACED: Final = (0.0, 0.5, 1.0)
"""One of these shares of its words is replaced by near ones."""
VOCABULARY: Final = 5_000
"""Number of words, the most common ones, that stand in for others."""
NEAR: Final = 3
"""Number of nearest words of which one stands in for another."""


def same_stem(one: str, other: str) -> bool:
    """Whether two words, in small letters, may be forms of one: *knife* and *knives*."""
    stem = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    return stem > 2 and {one[stem:], other[stem:]} <= ENDINGS


class Reading(NamedTuple):
    """Likelihoods of a request's words for C items, by words and by vectors.

    :param salience: (n,) what each word of a request counts, 1 at most.
    :param lifts: (n, C) how much more likely an item's words are the word than any item's.
    :param cosines: (n, C) of words and items, and ``whole`` (C,) of the request and items, in units
        of the items' own.
    """

    salience: Tensor
    lifts: Tensor
    cosines: Tensor
    whole: Tensor

    def likelihood(self, share: float, focus: float, sharpness: float) -> Tensor:
        """How much more likely the request is of each item than of any, as a logarithm: (C,)."""
        near = (self.cosines * focus).log_softmax(1).exp() * self.cosines.shape[1]
        said = self.salience @ (share * self.lifts + (1 - share) * near).log()
        meant = (self.whole * sharpness).log_softmax(0) + math.log(len(self.whole))
        return torch.logaddexp(said, meant) - math.log(2)


class Wishes:
    """Reads requests, and says what they count.

    :param store: a prepared log, whose items' titles, texts, categories and lists are read.
    :param items: the ranker's, which hold the vectors of texts.
    :param encoder: made these vectors; None where there are none.
    :param settings: what :meth:`learn` found: ``share``, ``focus``, ``sharpness``, and by
        ``HISTORY`` and ``ALONE`` the weights of what the history says (without one, of the
        logarithm of popularity), and of the request's likelihood.
    """

    def __init__(
        self,
        store: EventStore,
        items: ItemTower,
        encoder: Encoder | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        reads = encoder is not None and items.uses_text
        vectors = items.vectors if reads else torch.zeros(store.num_items + 1, 0)
        self.encoder, self.settings = encoder if vectors.any() else None, dict(settings or {})
        self.table, words = word_table(_texts(store))
        """(N + 1, W) the words of each item."""
        self.column = {word: place for place, word in enumerate(words)}
        self._said = self.table.tocsc()
        self._counts = np.diff(self._said.indptr)
        self._rarity = self.table.nnz / np.maximum(1, np.diff(self.table.indptr))
        self._mean, self._units = vectors[1:].mean(0), unit_vectors(vectors)
        gram = self._units.T @ self._units / max(1, store.num_items)
        self._spread = float(gram.square().sum().sqrt()) or 1.0

    def scores(self, wish: str, kind: str) -> tuple[Tensor, float]:
        """Score all items for a request. What of it no item has is said on the error output.

        :param kind: ``HISTORY`` or ``ALONE``.
        :returns: (N + 1,), and the weight of what the history says, to which they are to be added.
        :raises RecipeError: where nothing of the request can be read.
        """
        words = self._words(wish, tell=True)
        unknown = [word for word in words if word not in self.column]
        if len(unknown) == len(words) and (self.encoder is None or not words):
            telling = np.where(self._counts * 2 > self.table.shape[0], 0, self._counts)
            common = [[*self.column][place] for place in (-telling).argsort(kind="stable")[:5]]
            raise RecipeError(
                f"No item knows any of the words of the request {wish!r}, and the run has no text "
                "encoder that reads others. Say it in words of titles, texts or attributes, such "
                f"as {', '.join(common)}."
            )
        if unknown:
            how = "its vector alone reads" if self.encoder else "nothing reads"
            what = (
                " or ".join(map(repr, unknown)) if len(unknown) < len(words) else "of the request"
            )
            say(f"No item has the word {what}: {how} it.")
        reading = self.read([wish if self.encoder else " ".join(words)])[0]
        before, weight = self.settings[kind]
        return weight * reading.likelihood(*(self.settings[name] for name in SOUGHT)), before

    def answering(self, wish: str) -> Tensor | None:
        """The items that have a word of a request, (N + 1,) bool; None where vectors read it."""
        if self.encoder is not None:
            return None
        places = [self.column[word] for word in self._words(wish) if word in self.column]
        return torch.from_numpy(np.asarray(self._said[:, places].sum(1)).ravel() > 0)

    def _words(self, wish: str, tell: bool = False) -> list[str]:
        """Split a request into words. Where no vectors weigh them, grammar is left out, and a word
        that no item has stands for one with another ending, which is reported.
        """
        words = [*dict.fromkeys(words_of(wish))]
        if self.encoder is not None:
            return words
        words = [word for word in words if word not in GRAMMAR]
        for place, word in enumerate(words):
            alike = [w for w in self.column if w[:3] == word[:3] and same_stem(w, word)]
            if word not in self.column and alike:
                words[place] = max(alike, key=lambda each: self._counts[self.column[each]])
                if tell:
                    say(f"{word!r} is taken as {words[place]}.")
        return [*dict.fromkeys(words)]

    def read(self, wishes: Sequence[str], items: Tensor | None = None) -> list[Reading]:
        """Read requests, each of which has words, for items, (B, C) int64; None for all, 0 to N."""
        split = [list(dict.fromkeys(words_of(wish))) for wish in wishes]
        without = [[" ".join(w for w in words if w != each) for each in words] for words in split]
        texts = sorted({*wishes, *chain(*split), *chain(*without)})
        vectors = dict(zip(texts, self._encoded(texts), strict=True))
        readings = []
        for row, (wish, words, rest) in enumerate(zip(wishes, split, without, strict=True)):
            places = slice(None) if items is None else items[row]
            table = torch.stack([vectors[text] for text in (wish, *words, *rest)])
            units = normalize(table[: len(words) + 1] - self._mean, dim=1)
            cosines = units @ self._units[places].T / self._spread
            same = normalize(table, dim=1) @ normalize(table[0], dim=0)
            moved = (1 - same[len(words) + 1 :]).clamp_min(1e-6)
            lifts = torch.stack([self._lift(word)[places] for word in words])
            readings.append(Reading(moved / moved.max(), lifts, cosines[1:], cosines[0]))
        return readings

    def _encoded(self, texts: Sequence[str]) -> Tensor:
        if self.encoder is None:
            return torch.zeros(len(texts), self._units.shape[1])
        return encoded(self.encoder, texts, texts, asked=True)

    def _lift(self, word: str) -> Tensor:
        """How much more likely an item's words are a word than any item's: (N + 1,) float32."""
        lift = np.zeros(self.table.shape[0], np.float32)
        if (column := self.column.get(word)) is not None:
            rows = self._said.indices[slice(*self._said.indptr[column : column + 2])]
            lift[rows] = self._rarity[rows] / self._counts[column]
        return torch.from_numpy(lift)

    @classmethod
    @torch.no_grad()
    def learn(
        cls,
        blend: Blend,
        store: EventStore,
        encoder: Encoder | None,
        events: "EvaluationEvents",
        seed: int,
    ) -> Self | None:
        """Find what requests count: by the likelihood of events with requests invented for them.

        :param events: held-out ones, some :data:`EVENTS`.
        :param seed: of the requests.
        :returns: None where items have no words, or no event has an item with some.
        """
        learned = cls(store, blend.ranker.items, encoder)
        rng = np.random.default_rng((seed, EVENTS))
        sample = torch.from_numpy(np.sort(rng.permutation(store.num_items)[:COLUMNS]) + 1)
        prior = log_shares(popular(store).scores(torch.zeros(1, 1).long()), blend.smoothing)
        said, held, read = list[Tensor](), list[Tensor](), list[Reading]()
        for whole in events:
            wishes = learned.made_up(whole[Key.TARGET].tolist(), rng)
            if not any(wishes):
                continue
            rows = torch.tensor([wish != "" for wish in wishes])
            batch = {name: column[rows] for name, column in whole.items()}
            target = batch[Key.TARGET][:, None]
            here = torch.cat([target, sample.expand(len(target), -1)], 1)
            logits = blend.scores(batch[Key.HISTORY], batch[Key.USER], details=batch)
            both = logits, prior.expand_as(logits)
            said.append(torch.stack([each.gather(1, here) for each in both]))
            away = torch.zeros_like(logits).scatter_(1, batch[Key.SEEN], 1).scatter_(1, target, 1)
            held.append(away.gather(1, here[:, 1:]) == 0)
            read += learned.read([*filter(None, wishes)], here)
        if not read:
            return None
        before, free = torch.cat(said, 1), torch.cat(held)
        each = torch.full(free.shape, float(np.log(store.num_items / len(sample))))
        users = torch.zeros(len(read), dtype=torch.int64)

        def fit(settings: Mapping[str, float], kind: str) -> tuple[float, list[float]]:
            wished = torch.stack([reading.likelihood(**settings) for reading in read])
            every = torch.stack([before[int(kind == ALONE)], wished])
            every = (every[:, :, 1:] - every[:, :, :1]).where(free, ABSENT)
            candidates = Candidates(every, each.where(free, -torch.inf), 0, users)
            weights = fit_weights(candidates)
            logits = weighed(weights, every) + candidates.corrections
            likelihood = -float(torch.logaddexp(logits.logsumexp(1), torch.tensor(0.0)).mean())
            return likelihood, weights.tolist()

        best = {name: tried[0] for name, tried in SOUGHT.items()}
        for name, tried in SOUGHT.items():
            best[name] = max(tried, key=lambda value: fit({**best, name: value}, HISTORY)[0])
        learned.settings = best | {kind: fit(best, kind)[1] for kind in (HISTORY, ALONE)}
        return learned

    def made_up(self, items: Sequence[int], rng: np.random.Generator) -> list[str]:
        """Invent a request for each item, of its own words and near ones; empty without words."""
        names, wishes = [*self.column], []
        for item in items:
            words, replaced = self.table[[item]].indices, rng.choice(REPLACED)
            words = some = [names[word] for word in words]
            if self.encoder and replaced:
                # A word that nothing can replace would look as if people never paraphrased it.
                some = [word for word in words if word in self._vocabulary[0]]
            count = min(len(some), int(rng.integers(1, LONGEST + 1)))
            said = rng.choice(some or [""], count, replace=False)
            wish = [self._near(w, {*words}, rng) if rng.random() < replaced else w for w in said]
            wishes.append(" ".join(wish))
        return wishes

    def _near(self, word: str, without: Set[str], rng: np.random.Generator) -> str:
        """One of the :data:`NEAR` words nearest to another; itself where there are none.

        :param without: words that it must not be.
        """
        words, units, barred = self._vocabulary
        if self.encoder is None or word not in words:
            return word
        likeness = (units @ units[words[word]]).masked_fill(barred, -torch.inf)
        likeness[[words[each] for each in {word, *without} if each in words]] = -torch.inf
        best, places = likeness.topk(min(NEAR, len(words)))
        return [*words][int(rng.choice(places))] if best.isfinite().all() else word

    @cached_property
    def _vocabulary(self) -> tuple[dict[str, int], Tensor, Tensor]:
        """The most common words by their rows, their vectors, centred and of length 1, and which
        half of them stands in for no other: with these it can be judged what was learned.
        """
        common = (-self._counts).argsort(kind="stable")[:VOCABULARY]
        names = [*self.column]
        words = [names[place] for place in common if self._counts[place] > 1]
        barred = torch.tensor([crc32(word.encode()) % 2 == 1 for word in words], dtype=torch.bool)
        rows = {word: row for row, word in enumerate(words)}
        return rows, unit_vectors(self._encoded(words)), barred

    @classmethod
    def load(cls, folder: Path, store: EventStore, items: ItemTower) -> Self:
        """Load what a ranker stage left.

        :raises RunError: where it left nothing, or names a class that is not trusted.
        """
        if not (folder / FILE).is_file():
            raise RunError(
                f"{folder} has learned nothing of requests: its items have no words, or an earlier "
                "release has made it. In the latter case make the run again with `lightrec run`."
            )
        content = json.loads((folder / FILE).read_text())
        if unknown := SOUGHT.keys() - content.keys():
            raise RunError(
                f"{folder / FILE} says nothing of {' and '.join(sorted(unknown))}: an earlier "
                "release has made it. Make the run again with `lightrec run`."
            )
        made = content.pop("encoder")
        arguments = {} if made is None else made[ARGUMENTS]
        if (model := Path(arguments.get("model", ""))).is_absolute() and not model.is_dir():
            arguments["model"] = str(folder.parent / model.name)  # a tuned one moves with its run
        return cls(store, items, built(made, Encoder | None), content)


def _texts(store: EventStore) -> list[str]:
    """All that items' words are taken from: titles, texts, categories and lists."""
    named = [name for name, kind in store.item_kinds.items() if kind in ("category", "list")]
    parts = [
        pl.col(name).cast(pl.List(pl.String)).list.join(" ")
        if isinstance(store.catalog.schema[name], pl.List)
        else pl.col(name).cast(pl.String)
        for name in (Column.TITLE, Column.TEXT, *named)
    ]
    texts = store.catalog.select(texts=pl.concat_str(parts, separator=" ", ignore_nulls=True))
    return texts["texts"].to_list()
