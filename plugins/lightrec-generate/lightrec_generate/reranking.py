"""Re-ranking: what a first stage puts first is put in a better order by what costs more."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Final, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.evaluation.rankers import RunRanker
from lightrec.intervals import ahead
from lightrec.keys import PADDING, Key
from lightrec.ranking.metrics import RankingResult
from lightrec.ranking.scorers import ItemScorer
from lightrec.run import Run
from lightrec_generate.language_readers import LanguageReader, reader_of_run, words_of_items

DEPTH: Final = 20
"""Number of a list's items that are re-ranked."""
SPREADS: Final = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5)
"""Spreads of the added scores in a list, next to the first stage's, that are tried."""
KEPT: Final = 50
"""Number of a history's last items beside a list."""


@dataclass(frozen=True)
class Lists:
    """A first stage's lists at E events.

    :param histories: (E, L) int64, padded on the left.
    :param items: (E, C) int64, the best first; 0 where nothing is left.
    :param scores: (E, C) float32, the first stage's; -inf at padding.
    :param targets: (E,) int64, what came.
    :param users: (E,) int64.
    """

    histories: Tensor
    items: Tensor
    scores: Tensor
    targets: Tensor
    users: Tensor

    @property
    def listed(self) -> Tensor:
        """(E,) bool: whether what came is in the list; no re-ranking helps the others."""
        return (self.items == self.targets[:, None]).any(1)

    def only(self, rows: Tensor) -> "Lists":
        """Select events by a mask or by their numbers."""
        return Lists(*(part[rows] for part in astuple(self)))

    def ranked(self, scores: Tensor) -> RankingResult:
        """Rank what came by scores (E, C) of the lists' items; what is not listed is missed."""
        came = self.items == self.targets[:, None]
        target = scores.masked_fill(~came, -torch.inf).amax(1, keepdim=True)
        scores = scores.masked_fill(self.items == PADDING, -torch.inf)
        ranks = ((scores > target).sum(1) * 2 + (scores == target).sum(1) + 1).double() / 2
        return RankingResult(self.users, self.targets, ranks.where(self.listed, torch.inf))


@torch.no_grad()
def lists_of(
    first: ItemScorer, batches: Iterable[Mapping[str, Tensor]], length: int = DEPTH
) -> Lists:
    """Make a first stage's lists, seen items left out.

    :param batches: as of :class:`~lightrec.ranking.evaluation_events.EvaluationEvents`.
    """
    none = torch.zeros(0, dtype=torch.int64)
    empty = none.new_zeros(0, KEPT), none.new_zeros(0, length), torch.zeros(0, length)
    rows = [(*empty, none, none)]
    for batch in batches:
        history, target, users = batch[Key.HISTORY], batch[Key.TARGET], batch[Key.USER]
        scores = first.scores(history, users, details=batch)
        came = scores.gather(1, target[:, None])
        # As in every ranking, what came takes part even where it was seen.
        scores = scores.scatter(1, batch[Key.SEEN], -torch.inf).scatter(1, target[:, None], came)
        scores[:, PADDING] = -torch.inf
        values, items = scores.topk(min(length, scores.shape[1]), dim=1)
        items = items.masked_fill(values == -torch.inf, PADDING)
        short = (0, length - items.shape[1])
        listed = pad(items, short), pad(values, short, value=-torch.inf)
        rows.append((pad(history, (KEPT, 0))[:, -KEPT:], *listed, target, users))
    return Lists(*(torch.cat(parts) for parts in zip(*rows, strict=True)))


def choose_weight(lists: Lists, added: Tensor) -> float:
    """Choose what other scores count beside the first stage's: that of the best NDCG@10.

    0 where no weight ranks better than the first stage by more than one standard error, users being
    what is drawn.

    :param lists: of validation events.
    :param added: (E, C) scores of the lists' items; those of lists without what came do not count.
    """
    there = (lists.items != PADDING) & lists.listed[:, None]
    spreads = []
    for scores in (lists.scores, added):
        mean = scores.where(there, 0).sum(1) / there.sum(1).clamp_min(1)
        spreads.append(float((scores - mean[:, None])[there].square().sum().sqrt()))
    if not spreads[1]:
        return 0.0
    plain = lists.ranked(lists.scores)
    weights = [share * spreads[0] / spreads[1] for share in SPREADS]
    gains = [lists.ranked(lists.scores + weight * added).paired(plain) for weight in weights]
    weight, gain = max(zip(weights, gains, strict=True), key=lambda pair: float(pair[1].sum()))
    return weight if ahead(gain, lists.users) > 1 else 0.0


class ByReader(RunRanker):
    """Ranks by the blend, whose first :data:`DEPTH` items a run's reader puts in another order."""

    reranks = True
    reader: LanguageReader
    words: Sequence[str]
    """Words of N + 1 items, as the reader reads them."""

    @classmethod
    def from_run(cls, run: Run) -> Self:  # type: ignore[override]
        """Take the run's blend and reader."""
        made = super().from_run(run)
        made.reader, made.words = reader_of_run(run), words_of_items(run.data)
        if not made.reader.weight:
            made.about = "The reader has no weight, and changes nothing: it did not help."
        return made

    @torch.no_grad()
    def lifted(self, scores: Tensor, histories: Tensor) -> Tensor:
        """Add to the first items what the reader says of them, the least that it says being 0.

        So none of them falls below the others.

        :param scores: (B, N + 1), -inf for what takes no part.
        """
        if not self.reader.weight:
            return scores
        values, items = scores.topk(min(DEPTH, scores.shape[1]), dim=1)
        read = self.reader.read(histories, items, self.words)
        least = read.masked_fill(values == -torch.inf, torch.inf).amin(1, keepdim=True)
        more = (self.reader.weight * (read - least)).masked_fill(values == -torch.inf, 0)
        return scores.scatter_add(1, items, more.to(scores))
