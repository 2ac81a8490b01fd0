"""Identifiers: a few digits for each item, which a decoder can write, by k-means over residuals or
parts of vectors.
"""

import sys
from copy import deepcopy
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from lightrec.api import DataError, Run, Stage
from lightrec.data.sequences import Sequences
from lightrec.encoders.base import Encoder, item_vectors
from lightrec.nn.cooccurrence import cooccurrence, leading_vectors
from lightrec.nn.part import Part

Kind = Literal["residual", "product"]
NEIGHBOURS = 10
"""Number of items that speak for one of which only the words are known."""
SHARPNESS = 10.0
"""Factor in their weights, exp(SHARPNESS · cosine)."""
AT_ONCE = 1 << 24
"""Number of cosines that are held in memory at most."""
ROUNDS = 25
"""Rounds of k-means."""


class Identifiers(Part):
    """Digits of items: no two items have the same ones, and a new item gets its from its words.

    Vectors are quantised that hold, side by side, what an item's words say and what people chose
    near it. Where two items fall on the same digits, the one nearer to its codeword keeps them, and
    the other takes the nearest last digit that is free. Codebooks know nothing of items without
    events: these are named like new ones.

    :param num_items: number of items N.
    :param words_size: length V of the vectors of words; 0 where there are none.
    :param chosen_size: length C of the vectors of what people chose; W = kept + C.
    :param digits: number of digits M of an identifier.
    :param size: number of values K of a digit.
    :param kept: length to which vectors of words are brought, by their principal components.
    :param kind: ``residual`` k-means or ``product`` quantisation.
    """

    codes: Tensor
    """``(N + 1, M)`` int64 digits, 0 to K - 1; row 0 means nothing."""
    vectors: Tensor
    """``(N + 1, W)`` float32: what was quantised, row 0 zero."""
    books: Tensor
    """``(M, K, W)`` float32."""
    moved: int
    """Number of items with other digits than the nearest."""

    def __init__(
        self,
        num_items: int,
        words_size: int,
        chosen_size: int = 64,
        digits: int = 3,
        size: int = 256,
        kind: Kind = "residual",
        kept: int = 128,
    ) -> None:
        super().__init__()
        self.num_items, self.digits, self.size, self.kind = num_items, digits, size, kind
        kept = min(kept, words_size)
        width = kept + chosen_size
        self.moved = 0
        self.register_buffer("codes", torch.zeros(num_items + 1, digits, dtype=torch.int64))
        self.register_buffer("vectors", torch.zeros(num_items + 1, width))
        self.register_buffer("books", torch.zeros(digits, size, width))
        self.register_buffer("centre", torch.zeros(words_size))
        self.register_buffer("axes", torch.zeros(words_size, kept))
        self.register_buffer("chosen", torch.zeros(num_items + 1, dtype=torch.bool))

    centre: Tensor
    """``(V,)``: mean of the vectors of words."""
    axes: Tensor
    """``(V, kept)``: the principal components of vectors of words."""
    chosen: Tensor
    """``(N + 1,)`` bool: which items have events."""

    def fit(self, words: Tensor, chosen: Tensor, seed: int = 0) -> Self:
        """Make codebooks and identifiers.

        :param words: ``(N + 1, V)`` float32, a row of zeros for an item without words.
        :param chosen: ``(N + 1, C)`` float32, a row of zeros for an item without events.
        :param seed: of the codebooks.
        """
        said = words[1:].any(1)
        if said.any():
            self.centre.copy_(words[1:][said].mean(0))
        plain = normalize(words[1:] - self.centre) * said.unsqueeze(1)
        _, axes = torch.linalg.eigh(plain.T @ plain)
        self.axes.copy_(axes[:, axes.shape[1] - self.axes.shape[1] :])
        reduced = self._words(words[1:])
        used = chosen[1:].any(1)
        vectors = torch.cat([reduced, chosen[1:]], 1)[used]
        generator = torch.Generator().manual_seed(seed)
        make = product_books if self.kind == "product" else residual_books
        self.books.copy_(make(vectors, self.digits, self.size, generator))
        self.chosen[1:], self.vectors[1:][used] = used, vectors
        self.vectors[1:][~used] = self._from_words(reduced[~used])
        placed = self._placed(vectors, self.codes[:0])
        self.codes[1:][used] = placed
        self.codes[1:][~used] = self._placed(self.vectors[1:][~used], placed)
        return self

    def with_items(self, words: Tensor) -> "Identifiers":
        """Identifiers that also name new items, N + 1 to N + R; no other item's change.

        :param words: ``(R, V)`` float32, by the encoder of the others.
        """
        if words.device.type != "cpu" or self.codes.device.type != "cpu":
            return deepcopy(self).cpu().with_items(words.cpu()).to(self.codes.device)
        settings = self._arguments | {"num_items": self.num_items + len(words)}
        grown = type(self)(**settings)
        state, vectors = self.state_dict(), self._from_words(self._words(words))
        state["vectors"] = torch.cat([self.vectors, vectors])
        state["chosen"] = torch.cat([self.chosen, torch.zeros(len(words), dtype=torch.bool)])
        state["codes"] = torch.cat([self.codes, self._placed(vectors, self.codes[1:])])
        grown.load_state_dict(state)
        return grown.eval()

    def _from_words(self, reduced: Tensor) -> Tensor:
        """Vectors ``(R, W)`` of items of which nothing is known but their words.

        What people choose near such an item is what they choose near the items that it reads like:
        an average over the items with events that its words are nearest to.

        :param reduced: ``(R, kept)``, the words' columns.
        """
        words, chosen = self.vectors.tensor_split([reduced.shape[1]], 1)
        near = (self.chosen & words.any(1)).nonzero().squeeze(1)
        average = chosen.new_zeros(len(reduced), chosen.shape[1])
        if len(near):
            rows = reduced.any(1).nonzero().squeeze(1)
            cosines, columns = nearest(reduced[rows], words[near], NEIGHBOURS)
            weights = (SHARPNESS * cosines).softmax(1)
            average[rows] = torch.einsum("rk,rkc->rc", weights, chosen[near[columns]])
        length = chosen[self.chosen].norm(dim=1).mean() if self.chosen.any() else 0.0
        return torch.cat([reduced, normalize(average) * length], 1)

    def _words(self, words: Tensor) -> Tensor:
        """Centre vectors ``(R, V)`` of words, bring them to length 1 and then to the first axes.

        Zeros stay zeros.
        """
        said = words.any(1, keepdim=True)
        return (normalize(words - self.centre) * said) @ self.axes

    @torch.no_grad()
    def _placed(self, vectors: Tensor, taken: Tensor) -> Tensor:
        """Digits of vectors ``(R, W)``, all different from each other and from taken ones."""
        first = encode(vectors, self.books)
        codes = first.clone()
        for m in range(self.digits - 1):
            before, vectors = vectors, vectors - self.books[m][codes[:, m]]
        placed = reassigned(codes, distances(vectors, self.books[-1]), taken)
        full = (placed[:, -1] < 0).nonzero().flatten().tolist()
        for row in full:
            # Every last digit is taken: the next digit above is tried that is near.
            for digit in distances(before[row : row + 1], self.books[-2])[0].argsort():
                left = before[row : row + 1] - self.books[-2][digit]
                codes[row, -2:] = torch.stack([digit, distances(left, self.books[-1]).argmin()])
                others = torch.cat([taken, placed[placed[:, -1] >= 0]])
                apart = distances(left, self.books[-1])
                placed[row] = reassigned(codes[row : row + 1], apart, others)[0]
                if placed[row, -1] >= 0:
                    break
            else:
                raise DataError(
                    f"More than {self.size**2:,} items share the first digits of an identifier: "
                    "give identifiers more digits, or their digits more values."
                )
        self.moved += int((placed != first).any(1).sum())
        return placed


def distances(vectors: Tensor, book: Tensor) -> Tensor:
    """Squared distances of vectors ``(R, W)`` to codewords ``(K, W)``, ``(R, K)``."""
    return vectors.square().sum(1, keepdim=True) - 2 * vectors @ book.T + book.square().sum(1)


def kmeans(vectors: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Find codewords by Lloyd's algorithm, started by k-means++ (Arthur and Vassilvitskii 2007).

    A codeword that loses all its vectors moves to the vector that is worst off.

    :param vectors: ``(R, W)`` float32.
    :param size: number of codewords K; those beyond the number of vectors are far from all.
    :returns: ``(K, W)``.
    """
    count = min(size, len(vectors))
    chosen = vectors[torch.randint(len(vectors), (1,), generator=generator)]
    nearest = distances(vectors, chosen).squeeze(1).clamp_min(0)
    while len(chosen) < count:
        # Equal vectors have no distance left to draw by.
        weights = nearest if nearest.sum() > 0 else torch.ones_like(nearest)
        new = vectors[torch.multinomial(weights, 1, generator=generator)]
        chosen = torch.cat([chosen, new])
        nearest = torch.minimum(nearest, distances(vectors, new).squeeze(1).clamp_min(0))
    for _ in range(ROUNDS):
        near, assigned = distances(vectors, chosen).min(1)
        total = torch.zeros_like(chosen).index_add_(0, assigned, vectors)
        members = torch.bincount(assigned, minlength=count)
        means = total / members.clamp_min(1).unsqueeze(1)
        lost = members == 0
        means[lost] = vectors[near.topk(int(lost.sum())).indices]
        if torch.equal(means, chosen):
            break
        chosen = means
    far = 1e3 * (1 + vectors.abs().max())
    return pad(chosen, (0, 0, 0, size - count), value=float(far))


def residual_books(vectors: Tensor, digits: int, size: int, generator: torch.Generator) -> Tensor:
    """Quantise what the digits before have left over, digit by digit.

    :returns: codebooks ``(M, K, W)``.
    """
    books = []
    for _ in range(digits):
        books.append(kmeans(vectors, size, generator))
        vectors = vectors - books[-1][distances(vectors, books[-1]).argmin(1)]
    return torch.stack(books)


def product_books(vectors: Tensor, digits: int, size: int, generator: torch.Generator) -> Tensor:
    """Quantise equal parts of the vectors, each by itself (Jégou et al. 2011).

    :returns: codebooks ``(M, K, W)``, each digit's codewords being 0 outside its part.
    """
    books, width = [], -(-vectors.shape[1] // digits)
    for number, part in enumerate(vectors.split(width, 1)):
        before = number * width
        book = kmeans(part.contiguous(), size, generator)
        books.append(pad(book, (before, vectors.shape[1] - before - part.shape[1])))
    return torch.stack(books)


def encode(vectors: Tensor, books: Tensor) -> Tensor:
    """The digits of vectors ``(R, W)`` by codebooks ``(M, K, W)``: ``(R, M)`` int64.

    For parts this is the same as quantising each of them, since the other columns are 0.
    """
    codes = []
    for book in books:
        codes.append(distances(vectors, book).argmin(1))
        vectors = vectors - book[codes[-1]]
    return torch.stack(codes, 1)


def nearest(vectors: Tensor, others: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Find which others vectors are nearest to by their cosine.

    :param vectors: ``(R, W)``, none of them zero.
    :param others: ``(S, W)``, likewise.
    :param count: K, or S where there are fewer.
    :returns: cosines ``(R, K)``, and rows of the others ``(R, K)`` int64.
    """
    directions, count = normalize(others).T, min(count, len(others))
    parts = vectors.split(max(1, AT_ONCE // max(len(others), 1)))
    best = [(normalize(part) @ directions).topk(count) for part in parts]
    return torch.cat([each.values for each in best]), torch.cat([each.indices for each in best])


def reassigned(codes: Tensor, apart: Tensor, taken: Tensor) -> Tensor:
    """Identifiers in which each of several equal ones has the nearest last digit that is free.

    Of items with equal first digits those nearer to their codeword choose first.

    :param codes: ``(R, M)`` int64.
    :param apart: ``(R, K)``: how far each item is from the codewords of the last digit.
    :param taken: ``(T, M)`` int64 identifiers that are taken, all different.
    :returns: ``(R, M)`` int64, all different; the last digit is -1 where none is free.
    """
    size = apart.shape[1]
    both = torch.cat([taken, codes])
    _, group = both[:, :-1].unique(dim=0, return_inverse=True)
    # Only groups in which digits meet need to be looked at.
    _, place, count = (group * size + both[:, -1]).unique(return_inverse=True, return_counts=True)
    crowded = torch.zeros(int(group.max()) + 1, dtype=torch.bool)
    crowded[group[count[place] > 1]] = True
    codes = codes.clone()
    before, groups = group[: len(taken)], group[len(taken) :]
    near = apart.gather(1, codes[:, -1:]).squeeze(1).numpy()
    rows = crowded[groups].nonzero().squeeze(1).numpy()
    order = rows[np.lexsort((near[rows], groups.numpy()[rows]))]
    free: dict[int, Tensor] = {}
    for row in order.tolist():
        key = int(groups[row])
        if key not in free:
            free[key] = torch.ones(size, dtype=torch.bool)
            free[key][taken[before == key, -1]] = False
        if not free[key].any():
            codes[row, -1] = -1
            continue
        codes[row, -1] = apart[row].masked_fill(~free[key], torch.inf).argmin()
        free[key][codes[row, -1]] = False
    return codes


def make(
    stage: Stage,
    text_encoder: Encoder | None = None,
    kind: Kind = "residual",
    digits: int = 3,
    size: int = 256,
    chosen_size: int = 64,
    chosen_weight: float = 1.5,
    decay: float = 0.8,
    reach: int = 10,
    seed: int = 0,
) -> None:
    """Make identifiers of a log's items, from their words and from training events alone.

    :param text_encoder: makes the vectors of words; null does without.
    :param kind: ``residual`` k-means or ``product`` quantisation.
    :param digits: number of digits of an identifier.
    :param size: number of values of a digit.
    :param chosen_size: number of values of the vectors of what people chose near each other.
    :param chosen_weight: length to which they are brought, that of words' vectors being 1.
    :param decay: what two events count less for each step between them.
    :param reach: steps up to which they count.
    :param seed: of the codebooks.
    """
    stage.prepare_work()
    store = Run(stage.run).data.without_cold
    words = torch.zeros(store.num_items + 1, 0)
    if text_encoder is not None:
        words = item_vectors(text_encoder, store.catalog)
    log = Sequences.all_events(store).training()
    counts = cooccurrence(log.items, log.offsets, store.num_items, decay, reach)
    chosen = normalize(leading_vectors(counts, chosen_size, seed=seed)) * chosen_weight
    identifiers = Identifiers(store.num_items, words.shape[1], chosen_size, digits, size, kind).fit(
        words, chosen, seed
    )
    with stage.output(seed) as folder:
        identifiers.save_pretrained(folder)
    moved = f"{identifiers.moved:,} of {store.num_items:,}"
    print(f"identifiers: {moved} items have other digits than the nearest", file=sys.stderr)
