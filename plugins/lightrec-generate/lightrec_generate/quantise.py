"""Codebooks: vectors into digits, by k-means over residuals or parts."""

import torch
from torch import Tensor
from torch.nn.functional import pad

ROUNDS = 25
"""Rounds of k-means."""


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
