"""Whether simulated sessions look like logged ones: lengths, popularity, repeats, transitions."""

from dataclasses import dataclass

from torch import Tensor

LENGTHS = {
    "1": (1, 1),
    "2": (2, 2),
    "3-4": (3, 4),
    "5-8": (5, 8),
    "9-16": (9, 16),
    "17-32": (17, 32),
}
"""Bins of session length, first and last length of each; longer ones are ``33+``."""
TOP = (1, 2, 5, 10, 20, 50)
"""Per cent of the items, the most frequently chosen first, whose share of the choices is told."""


@dataclass(frozen=True)
class SessionStatistics:
    """What S sessions come to.

    :param length: (S,) int64 steps of each session.
    :param session: (E,) int64, ascending: whose choice each was.
    :param item: (E,) int64 items chosen, those of a session in their order.
    :param num_items: N.
    :param category: (N + 1,) int64 category of each item, -1 where it is not known; None where the
        items have none.
    """

    length: Tensor
    session: Tensor
    item: Tensor
    num_items: int
    category: Tensor | None = None

    def lengths(self, longest: int) -> Tensor:
        """Shares (longest + 1,) of sessions of each length; longer ones count as the longest."""
        counts = self.length.clamp_max(longest).bincount(minlength=longest + 1)
        return _shares(counts)

    def popularity(self) -> Tensor:
        """Shares (N + 1,) of the choices by item."""
        return _shares(self.item.bincount(minlength=self.num_items + 1))

    def top(self, percent: float) -> float:
        """Share of the choices that fall on a part of the items, the most chosen first."""
        ranked = self.popularity()[1:].sort(descending=True).values
        return float(ranked[: max(1, round(self.num_items * percent / 100))].sum())

    def repeats(self) -> float:
        """Share of the choices whose item was chosen before in the same session."""
        if not len(self.item):
            return 0.0
        pairs = self.session * (self.num_items + 1) + self.item
        return 1 - len(pairs.unique()) / len(pairs)

    def transitions(self) -> Tensor | None:
        """Shares (K, K) of pairs of categories that follow each other within a session.

        :returns: None where there are no categories, or no session has two choices.
        """
        if self.category is None:
            return None
        kinds = self.category[self.item]
        before, after = kinds[:-1], kinds[1:]
        together = (self.session[1:] == self.session[:-1]) & (before >= 0) & (after >= 0)
        number = int(self.category.max()) + 1
        pairs = (before * number + after)[together]
        if not len(pairs):
            return None
        return _shares(pairs.bincount(minlength=number**2)).view(number, number)

    def half(self, which: int) -> "SessionStatistics":
        """Every second session, from the first or the second on."""
        kept = self.session % 2 == which
        return SessionStatistics(
            self.length[which::2],
            self.session[kept],
            self.item[kept],
            self.num_items,
            self.category,
        )


def total_variation(left: Tensor, right: Tensor) -> float:
    """Half the sum of the differences of two distributions: 0 if equal, 1 if disjoint."""
    return float((left.double() - right.double()).abs().sum() / 2)


def compare(
    real: SessionStatistics, simulated: SessionStatistics, *, lengths: bool = True
) -> dict[str, float]:
    """Set simulated sessions beside real ones, as flat keys.

    :param lengths: whether the lengths mean the same in both.
    :returns: ``NAME/total_variation`` of ``length``, ``popularity`` and ``transitions``, each with
        ``NAME/total_variation/real_halves``, the same between two halves of the real sessions, as
        which no finite number of sessions is closer; both sides' curves, such as
        ``popularity/real/top-10`` and ``length/simulated/3-4``; ``repeats`` and
        ``transitions/same``, the share of steps that stay within a category.
    """
    found: dict[str, float] = {}
    halves = real.half(0), real.half(1)
    both = {"real": real, "simulated": simulated}
    if lengths:
        longest = int(max(real.length.max(), simulated.length.max()))

        def spread(left: SessionStatistics, right: SessionStatistics) -> float:
            return total_variation(left.lengths(longest), right.lengths(longest))

        found["length/total_variation"] = spread(real, simulated)
        found["length/total_variation/real_halves"] = spread(*halves)
        for name, side in both.items():
            found[f"length/{name}"] = float(side.length.double().mean())
            shares = side.lengths(longest)
            for title, (first, last) in LENGTHS.items():
                found[f"length/{name}/{title}"] = float(shares[first : last + 1].sum())
            found[f"length/{name}/33+"] = float(shares[33:].sum())
    found["popularity/total_variation"] = total_variation(real.popularity(), simulated.popularity())
    found["popularity/total_variation/real_halves"] = total_variation(
        *(half.popularity() for half in halves)
    )
    for name, side in both.items():
        for percent in TOP:
            found[f"popularity/{name}/top-{percent}"] = side.top(percent)
        found[f"repeats/{name}"] = side.repeats()
    moves = {name: side.transitions() for name, side in both.items()}
    apart = [half.transitions() for half in halves]
    for name, pair in (("", list(moves.values())), ("/real_halves", apart)):
        if pair[0] is not None and pair[1] is not None:
            found[f"transitions/total_variation{name}"] = total_variation(pair[0], pair[1])
    for name, pairs in moves.items():
        if pairs is not None:
            found[f"transitions/same/{name}"] = float(pairs.diagonal().sum())
    return found


def _shares(counts: Tensor) -> Tensor:
    return counts.double() / counts.sum().clamp_min(1)
