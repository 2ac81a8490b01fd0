"""Parts of a school of courses."""

from typing import Self

import polars as pl
import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from lightrec.data.domain import Domain
from lightrec.keys import Key
from lightrec.nn.session import State
from lightrec.nn.towers import GRU
from lightrec.policies.base import Policy, ScoredPolicy, among_candidates, session_start
from lightrec.ranking.item_models.base import Evidence, ItemModel
from lightrec.ranking.losses import RankingLoss
from lightrec.rewards.accepted import EngagementReward
from lightrec.rewards.staying import ShapedReward
from lightrec.simulators.rollout import Contender
from lightrec.users.irl.base import RewardLearner, mean


class Courses(Domain):
    """Courses; exams are for nobody without a name of a school."""

    name = "courses"

    def eligible(self, users, items, time):
        school = pl.Series([None] * users.height) if "school" not in users else users["school"]
        exam = (items["kind"] == "exam") if "kind" in items else pl.Series([False] * items.height)
        return school.is_not_null().to_numpy()[:, None] | ~exam.fill_null(False).to_numpy()


class Syllabus(ScoredPolicy):
    """Shows courses in the order of the catalog."""

    def logits(self, state: State) -> Tensor:
        scores = -torch.arange(self.num_items + 1.0, device=state[Key.STEP].device)
        return among_candidates(state, scores.expand(*state[Key.STEP].shape[:-1], -1))

    def scores(self, state: State) -> Tensor:
        return self.logits(state) / self.num_items


class Longer(ShapedReward):
    """Pays for longer histories in training.

    :param discount: γ.
    """

    def __init__(self, discount: float = 1.0) -> None:
        super().__init__(EngagementReward(), discount)

    def potential(self, history: Tensor) -> Tensor:
        return (history > 0).float().sum(1, keepdim=True)


class Gated(GRU):
    """A GRU of one layer.

    :param size: width D.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)


class Logit(RewardLearner):
    """A conditional logit."""

    def loss(self, batch: TensorDictBase, progress: float) -> Tensor:
        utilities = pad(self.utilities(batch[Key.HISTORY], batch[Key.CANDIDATES]), (0, 1))
        return mean(cross_entropy(utilities, batch[Key.CHOICE], reduction="none"), batch)


class Finished(ItemModel):
    """Scores courses by how often they were taken."""

    counts: Tensor

    def fit(self, evidence: Evidence) -> Self:
        self.register_buffer("counts", evidence.counts())
        return self

    def scores(self, histories, users=None, *, details=None):
        return self.counts.expand(len(histories), -1)


class Shares(RankingLoss):
    """Cross-entropy of the next course against all."""

    def forward(self, ranker, states, target, seen):
        rows = torch.arange(len(target), device=target.device)
        scores = states @ ranker.item_vectors().T + ranker.bias
        own = scores.gather(1, target[:, None])
        left_out = torch.cat([torch.zeros_like(own).long(), target[:, None], seen(rows)], 1)
        others = scores.scatter(1, left_out, -torch.inf)
        costs = torch.cat([own, others], 1).logsumexp(1) - own[:, 0]
        return costs.sum() / max(len(target), 1)


def first_choice(policy: Policy) -> int:
    """The course that a policy shows first to who has taken none."""
    acting: Contender = policy
    return int(acting.scores(session_start(torch.zeros(1, 4, dtype=torch.int64))).argmax())
