"""Cross-entropy over what the other rows of a batch chose."""

from torch import Tensor

from lightrec.nn.precision import as_float32
from lightrec.ranking.losses.base import RankingLoss, Seen
from lightrec.ranking.losses.candidates import candidate_softmax
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.sampling import proposal


class InBatchLoss(RankingLoss):
    """Cross-entropy of the next item against the next items of a batch's other rows (InfoNCE).

    Costs no item vectors beyond the batch's own. Other rows' items equal to a row's own, or seen by
    it, are false negatives and do not count for it. Popular items come up more often in a batch;
    less the logarithm of how often they are expected among the R - 1 other rows, the rest estimates
    the softmax over the whole catalog (logQ correction, Yi et al. 2019). The next item itself is
    there for certain and is not corrected (Khrylchenko et al. 2025).

    :param temperature: by which scores are divided; the order of items in ranking does not depend
        on it.
    :raises ValueError: where the temperature is not above 0.
    """

    popularity: Tensor

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(
                f"A temperature of {temperature} cannot divide scores: give one above 0."
            )
        self.temperature = temperature
        self.register_buffer("popularity", None, persistent=False)

    def prepare(self, popularity: Tensor) -> None:
        """Make from popularity (N + 1,) how likely a row's next item is each of the items."""
        self.popularity = as_float32(proposal(popularity, power=1.0), popularity.device)

    def forward(self, ranker: Ranker, states: Tensor, target: Tensor, seen: Seen) -> Tensor:
        """Corrected cross-entropy; see :meth:`.RankingLoss.forward`."""
        items, counts = target.unique(return_counts=True)
        others = max(len(target) - 1, 1)
        # An item that c rows chose is c equal negatives; a row that chose it leaves all c out.
        correction = (counts / (others * self.popularity[items])).log()
        return candidate_softmax(ranker, states, target, seen, items, correction, self.temperature)
