"""Scores of warm items, carried over to cold ones by their texts.

A cold item has no training event: nothing was learned about it, and whatever a model scores it is
an accident. Here its score is the one that its text predicts, by the scores of the warm items with
the most similar texts, by a regression over warm items, solved once for any history, and by how
similar its text is to those of the history.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Final, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional

from lightrec.data.store import EventStore
from lightrec.encoders.base import unit_vectors
from lightrec.encoders.words import word_weights
from lightrec.keys import Column
from lightrec.ranking.blend import Blend
from lightrec.ranking.metrics import event_metrics, mean_ranks

PENALTIES: Final = (1.0, 0.1, 0.3, 3.0, 10.0)
"""The ridge penalties to choose from, what is taken in doubt first."""
RIDGE: Final = (0.0, 0.0, 1.0, 0.0)
"""The weights of the regression alone."""
_NEAR: Final = ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0))
_REGRESSED: Final = (1.0, 0.0, 0.5, 2.0)
WEIGHTS: Final = (
    *((*near, ridge, read) for read in (1.0, 0.0) for near in _NEAR for ridge in _REGRESSED),
    RIDGE,
)
"""The weights of neighbours by vectors, neighbours by words, the regression and the history's texts
to choose from, what is taken in doubt first."""
DECAY: Final = 0.8
"""Weight of an item of a history next to the one after it, where texts are compared with it."""
RECENT: Final = 20
"""Items of it that are looked at."""
FITTED: Final = 2_048
"""Warm items regressed on at most, the most popular ones: the cost is their cube."""
NEIGHBOURS: Final = 50
"""Warm items with the most similar texts that speak for an item."""
POWER: Final = 4
"""Exponent of their similarities: the nearest speak loudest."""
SMOOTHING: Final = 0.1
"""Addend of the neighbours' shares, as a multiple of 1 / N."""
SAMPLE: Final = (100, 1_024)
"""A tenth of the warm items, so many at least and at most, is what chooses the map."""
BLOCK: Final = 1 << 26
"""Similarities held at once."""
USUAL: Final = 4_096
"""Warm items, drawn evenly, whose texts say how similar texts usually are."""


class TextQuery(NamedTuple):
    """Items that are to be scored by their texts."""

    items: Tensor
    """(C,) int64."""
    near: Tensor
    """(2, C, K) int64: warm items that are near by their vectors, and by their words."""
    loud: Tensor
    """(2, C, K) float32: their weights, which sum to 1, or to 0 where no text is alike."""
    similar: Tensor | None
    """(C, M) float32, see :meth:`TextMap.similarity`; None where that is too large to be held."""


class TextMap:
    """Carries any scores of warm items over to cold items with similar texts.

    Four predictions are added with weights, so that their exponentials are multiplied:

    - by vectors and by words: the logarithm of what the scores' softmax gives the nearest warm
      items on average, the more similar ones counting more. A language model knows what a text is
      about, and may miss a brand, a year or a name, which words tell exactly.
    - a kernel ridge regression (Saunders, Gammerman and Vovk 1998). Two texts are as similar as
      ``exp(c - 1) + exp(w - 1)``, with c the cosine of their centred vectors and w that of their
      words. With K the similarities of warm items and z their centred scores for a history, a cold
      item whose similarities are k has the score ``k (K + l2 I)^-1 z``.

    - by the history: the logarithm of how similar the text is to those of its last items, the later
      ones counting more, next to what a warm item's text is on average.

    :param vectors: (N + 1, V) float32 text vectors, row 0 zero.
    :param texts: N texts, of the items 1 … N.
    :param counts: (N + 1,) training events of each item; without any, an item is cold.
    :param l2: of the regression.
    :param weights: of neighbours by vectors, of neighbours by words, of the regression, and of the
        history, which is 0 where only three are given.
    """

    def __init__(
        self,
        vectors: Tensor,
        texts: Sequence[str],
        counts: Tensor,
        l2: float,
        weights: Sequence[float] = RIDGE,
    ) -> None:
        self.weights = (*weights, 0.0)[:4]
        worded = vectors.any(dim=1)
        self.cold = worded & (counts == 0)
        """(N + 1,) bool: items without events, with a text."""
        self.warm = (worded & (counts > 0)).nonzero().squeeze(1)
        """(W,) int64: items with events and a text."""
        popular = counts[self.warm].argsort(descending=True, stable=True)[:FITTED]
        self.fitted = self.warm[popular].sort().values
        """(M,) int64: the warm items that the regression is on."""
        self._units = unit_vectors(vectors)
        self._words = word_weights(texts, self.warm.numpy())
        self._similarities = self.similarity(self.fitted).double()
        self.regress(l2)

    def regress(self, l2: float) -> None:
        """Solve the regression with another penalty."""
        penalty = l2 * torch.eye(len(self.fitted), dtype=torch.float64)
        self.l2, self.inverse = l2, torch.linalg.inv(self._similarities + penalty).float()

    @classmethod
    def of(cls, blend: Blend, store: EventStore) -> Self | None:
        """The map of a run's blend; None where its ranker reads no texts."""
        items = blend.ranker.items
        if blend.l2 is None or not items.uses_text:
            return None
        counts = torch.from_numpy(store.popularity())
        texts = store.catalog[Column.TEXT].to_list()
        return cls(items.vectors, texts, counts, blend.l2, blend.text_weights)

    def _cosines(self, items: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines of vectors and of words: (C, M) each."""
        words = self._words[items.numpy()] @ self._words[others.numpy()].T
        return self._units[items] @ self._units[others].T, torch.from_numpy(words.toarray())

    def similarity(self, items: Tensor) -> Tensor:
        """Similarities of texts of items (C,) to those regressed on: (C, M) float32."""
        vectors, words = self._cosines(items, self.fitted)
        return (vectors - 1).exp() + (words - 1).exp()

    def query(self, items: Tensor) -> TextQuery:
        """Compare texts of items (C,) with those of warm ones; none is its own neighbour."""
        blocks, count = [], min(NEIGHBOURS, len(self.warm))
        # With all that is made of them they exist eight times for a moment.
        for block in items.split(max(1, BLOCK // max(1, 8 * len(self.warm)))):
            cosines = torch.stack(self._cosines(block, self.warm))
            cosines.masked_fill_(block[:, None] == self.warm, 0)
            blocks.append(cosines.clamp_min_(0).topk(count, dim=2))
        cosine, place = (torch.cat(parts, 1) for parts in zip(*blocks, strict=True))
        loud = functional.normalize(cosine**POWER, p=1, dim=2)
        hold = len(items) * len(self.fitted) <= BLOCK
        return TextQuery(items, self.warm[place], loud, self.similarity(items) if hold else None)

    @cached_property
    def _cold_query(self) -> TextQuery:
        return self.query(self.cold.nonzero().squeeze(1))

    def neighbours(self, scores: Tensor, query: TextQuery) -> Tensor:
        """Predict scores by neighbours in vectors, and in words: (2, B, C)."""
        rest = torch.ones(scores.shape[1], dtype=torch.bool).index_fill(0, self.warm, False)
        shares = scores.masked_fill(rest, -torch.inf).softmax(1).T.contiguous()
        mixed = functional.embedding_bag(
            query.near.flatten(0, 1),
            shares,
            per_sample_weights=query.loud.flatten(0, 1),
            mode="sum",
        ).view(2, len(query.items), len(scores))
        # Where no text is alike, all warm items speak alike.
        mixed += (1 - query.loud.sum(2, keepdim=True)) / len(self.warm)
        return (mixed + SMOOTHING / (len(self.cold) - 1)).log().transpose(1, 2)

    def regression(self, scores: Tensor, query: TextQuery) -> Tensor:
        """Predict scores by the regression: (B, C).

        An item regressed on is predicted as if its own score were unknown (leave-one-out, exact).
        """
        fitted = scores[:, self.fitted]
        weights = (fitted - fitted.mean(dim=1, keepdim=True)) @ self.inverse
        blocks = query.items.split(max(1, BLOCK // max(1, len(self.fitted))))
        similar = map(self.similarity, blocks) if query.similar is None else [query.similar]
        predicted = torch.cat([weights @ part.T for part in similar], 1)
        # Its solution divided by the inverse's diagonal is an item's residual without itself.
        place = torch.searchsorted(self.fitted, query.items).clamp_max(len(self.fitted) - 1)
        left = (self.l2 - 1 / self.inverse.diagonal())[place] * (self.fitted[place] == query.items)
        return predicted + weights[:, place] * left

    @cached_property
    def _usual(self) -> Tensor:
        """Mean similarity of warm items' texts to each item's, (N + 1,): of a sample of many."""
        drawn = torch.randperm(len(self.warm), generator=torch.Generator().manual_seed(0))
        some = self.warm[drawn[:USUAL].sort().values]
        blocks = self._units.split(max(1, BLOCK // len(some)))
        warm = self._units[some].T
        return torch.cat([(block @ warm).clamp_min_(0).square_().mean(1) for block in blocks])

    def by_history(self, histories: Tensor, query: TextQuery) -> Tensor:
        """Predict scores by the texts of histories (B, L), padded on the left: (B, C)."""
        histories = histories[:, -RECENT:]
        ages = torch.arange(histories.shape[1] - 1, -1, -1)
        loud = (DECAY**ages).float() * (histories != 0)
        items, places = histories.unique(return_inverse=True)
        table = (self._units[items] @ self._units[query.items].T).clamp_min_(0).square_()
        near = functional.embedding_bag(places, table, per_sample_weights=loud, mode="sum")
        usual = (self._usual[histories] * loud).sum(1, keepdim=True).clamp_min(1e-12)
        return (near / usual + SMOOTHING).log()

    def predicted(self, scores: Tensor, histories: Tensor | None, query: TextQuery) -> Tensor:
        """Predict scores, each item's as if its own were unknown.

        :param scores: (B, N + 1) of any recommender.
        :param histories: (B, L) items, padded on the left; None where nothing is known of them.
        :returns: (B, C).
        """
        if not len(self.warm):
            return scores.new_zeros(len(scores), len(query.items))
        near, ridge = self.neighbours(scores, query), self.regression(scores, query)[None]
        like = None if histories is None else self.by_history(histories, query)[None]
        predictions = torch.cat([near, ridge, torch.zeros_like(ridge) if like is None else like])
        return torch.einsum("k,kbc->bc", scores.new_tensor(self.weights), predictions)

    def scores(self, scores: Tensor, histories: Tensor | None = None) -> Tensor:
        """Predict cold items' scores.

        :param scores: (B, N + 1) of any recommender; those of cold items are not looked at.
        :param histories: (B, L) items, padded on the left, which the scores are for.
        :returns: (B, N + 1): cold items' scores; -inf for warm ones and for those without a text.
        """
        result = torch.full_like(scores, -torch.inf)
        result[:, self.cold] = self.predicted(scores, histories, self._cold_query)
        return result


@torch.no_grad()
def choose_map(
    vectors: Tensor,
    texts: Sequence[str],
    counts: Tensor,
    judged: Iterable[tuple[Tensor, Tensor, Tensor, Tensor]],
    seed: int,
) -> tuple[float, tuple[float, ...]]:
    """Choose the penalty and the weights of a map on warm items, scored as if they were cold.

    Each event's item is ranked among a tenth of the warm items, drawn at random: as many as the
    split item-cold holds out.

    :param vectors: as for :class:`TextMap`, like ``texts`` and ``counts``.
    :param judged: scores (B, N + 1), targets (B,), items already seen (B, S) and histories (B, L)
        of held-out events.
    :param seed: of the draw.
    :returns: the penalty and the weights with the highest NDCG@10, if they are ahead of the first
        of both by more than one standard error; else the first of both.
    """
    mapped, solved = TextMap(vectors, texts, counts, PENALTIES[0]), []
    if not len(mapped.warm):
        return PENALTIES[0], WEIGHTS[0]
    for l2 in PENALTIES:
        mapped.regress(l2)
        solved.append((l2, mapped.inverse))
    drawn = torch.randperm(len(mapped.warm), generator=torch.Generator().manual_seed(seed))
    size = min(max(len(drawn) // 10, SAMPLE[0]), SAMPLE[1])
    others = mapped.query(mapped.warm[drawn[:size]])
    weights = torch.tensor(WEIGHTS)
    gains = [torch.zeros(len(PENALTIES) * len(WEIGHTS), 0).double()]
    for whole, targets, seen, past in judged:
        is_warm = torch.isin(targets, mapped.warm)
        scores, target, many = whole[is_warm], targets[is_warm], len(weights)
        histories = past[is_warm]
        targeted, barred = mapped.query(target), torch.zeros_like(scores, dtype=torch.bool)
        barred.scatter_(1, seen[is_warm], True).scatter_(1, target[:, None], True)
        allowed = functional.pad(~barred[:, others.items], (1, 0), value=True)
        allowed = functional.pad(allowed, (1, 0)).repeat(many, 1)
        fixed = [
            (mapped.neighbours(scores, query), mapped.by_history(histories, query)[None])
            for query in (targeted, others)
        ]
        blocks = []
        for mapped.l2, mapped.inverse in solved:
            mine, rest = (
                torch.cat([near, mapped.regression(scores, query)[None], like])
                for (near, like), query in zip(fixed, (targeted, others), strict=True)
            )
            # Behind column 0, which stands for no item, each event's own item and all others.
            parts = torch.cat([mine.diagonal(0, 1, 2)[..., None], rest], 2)
            mixed = functional.pad(torch.einsum("wk,kbc->wbc", weights, parts), (1, 0))
            first = torch.ones(many * len(target), dtype=torch.int64)
            ranks = mean_ranks(mixed.flatten(0, 1), first, None, allowed)
            blocks.append(event_metrics(ranks, [10])["ndcg@10"].view(many, -1))
        gains.append(torch.cat(blocks))
    ahead = torch.cat(gains, 1)
    best = int(ahead.sum(1).argmax())
    difference = ahead[best] - ahead[0]
    if difference.sum() <= difference.square().sum().sqrt():
        best = 0
    return PENALTIES[best // len(WEIGHTS)], WEIGHTS[best % len(WEIGHTS)]
