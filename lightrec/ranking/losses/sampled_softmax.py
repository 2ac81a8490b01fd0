"""Cross-entropy over drawn items."""

from torch import Tensor

from lightrec.nn.precision import as_float32
from lightrec.ranking.losses.base import RankingLoss, Seen, at_least_one
from lightrec.ranking.losses.candidates import candidate_softmax
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.sampling import draw_negatives, proposal


class SampledSoftmaxLoss(RankingLoss):
    """Cross-entropy of the next item against drawn ones, corrected for how likely they were drawn.

    The draws are shared by a batch. With the correction (logQ, Bengio and Senécal 2008) the sum of
    exponentials over the drawn items estimates that over all items without bias. The next item is
    there for certain and is not corrected (Khrylchenko et al. 2025).

    :param negatives: draws for a batch, with replacement.
    :param power: 0 draws all items alike, 1 by popularity.
    :raises ValueError: where there are no negatives.
    """

    proposal: Tensor

    def __init__(self, negatives: int = 4096, power: float = 0.75) -> None:
        super().__init__()
        self.negatives, self.power = at_least_one(negatives), power
        self.register_buffer("proposal", None, persistent=False)

    def prepare(self, popularity: Tensor) -> None:
        """Make the probabilities of drawing from popularity (N + 1,)."""
        self.proposal = as_float32(proposal(popularity, self.power), popularity.device)

    def forward(self, ranker: Ranker, states: Tensor, target: Tensor, seen: Seen) -> Tensor:
        """Corrected cross-entropy; see :meth:`.RankingLoss.forward`."""
        items, correction = draw_negatives(self.proposal, self.negatives)
        return candidate_softmax(ranker, states, target, seen, items, correction)
