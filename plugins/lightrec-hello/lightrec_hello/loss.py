"""What the ranker makes small."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from lightrec.api import Ranker, RankingLoss, Rows


class HelloLoss(RankingLoss):
    """The next item against another one, drawn evenly (BPR, Rendle et al. 2009)."""

    def forward(self, ranker: Ranker, states: Tensor, target: Tensor, seen: Rows) -> Tensor:
        """Mean over rows (R,) of log(1 + exp(other's score - target's score)).

        An item's score is state · vector + bias. Items that a row has seen are not drawn against
        its target.
        """
        vectors, bias = ranker.item_vectors(), ranker.bias
        other = torch.randint(1, ranker.num_items + 1, target.shape, device=target.device)
        ahead = (states * (vectors[target] - vectors[other])).sum(1) + bias[target] - bias[other]
        fair = (seen(slice(None)) != other.unsqueeze(1)).all(1) & (other != target)
        return (softplus(-ahead) * fair).sum() / fair.sum().clamp_min(1)
