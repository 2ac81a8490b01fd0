"""Several tastes at once: a mixture of maximum-entropy learners, and who belongs to which.

Where people want different things, one reward for all averages two tastes into none. A mixture
keeps them apart (Babes et al. 2011, "Apprenticeship learning about multiple intentions"; in
econometrics the latent class logit). Which kind a person is of is told from the whole history by a
gate, a softmax over a network's state, in place of a posterior for every user: so it serves people
who are not in the log, too.
"""

import torch
from torch import Tensor, nn

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.users.choice_model import ChoiceModel
from lightrec.users.irl.base import Batch, Make, RewardLearner, blocks, mean, with_nothing
from lightrec.users.irl.maxent import MaxEnt
from lightrec.users.reward_model import Gate, RewardModel, recent


class TasteMixture(RewardLearner):
    """K kinds of people, each with a reward of its own: P(i | s) = Σ_k g_k(s) P_k(i | s).

    People of a kind look ahead as that kind: each has its own continuation value.

    :param kinds: K.
    :param memory: how many of the last steps a kind's own reward reads, such as those that tire
        people of a category. A reward that reads all of a history tells kinds apart by itself, and
        leaves nothing to the mixture.
    :param rate: by which share of a step the averaged copies of W move.
    :param ramp: the share of training in which γ' rises to its value.
    """

    def __init__(
        self, kinds: int = 2, memory: int = 3, rate: float = 0.02, ramp: float = 0.15
    ) -> None:
        super().__init__()
        if kinds < 2:
            raise RecipeError(f"kinds is {kinds}; a mixture has two kinds of people or more.")
        self.kinds, self.memory, self.rate, self.ramp = kinds, memory, rate, ramp
        self.parts = nn.ModuleList(MaxEnt(rate=rate, ramp=ramp) for _ in range(kinds))
        self.gate: Gate

    def build(self, make: Make, discount: float) -> None:
        """Make the parts, which differ by their random beginnings, and the gate."""
        for part in self._learners:
            part.build(make, discount)
        self.gate = Gate(make(), self.kinds)

    @property
    def networks(self) -> list[ChoiceModel]:
        """The models of all rewards and values, and the gate's."""
        return [*(model for part in self._learners for model in part.networks), self.gate.trunk]

    def start(self) -> None:
        """Copy all W."""
        for part in self._learners:
            part.start()

    def stepped(self) -> None:
        """Let the averaged W follow."""
        for part in self._learners:
            part.stepped()

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Minus the mixture's log-likelihood, and each kind's error of W by its share in a row."""
        short = batch | {Key.HISTORY: recent(batch[Key.HISTORY], self.memory)}
        parts = [part.terms(short, progress) for part in self._learners]
        likely = torch.stack([term for term, _ in parts], 1)
        errors = torch.stack([error for _, error in parts], 1)
        weights = blocks(self.gate(batch[Key.HISTORY]), len(likely))
        joint = weights + likely
        share = joint.detach().softmax(1)
        return mean((share * errors).sum(1) / 2 - joint.logsumexp(1), batch)

    def utilities(self, history: Tensor, items: Tensor) -> Tensor:
        """Give log-odds against nothing (M · B, C) under the mixture."""
        short = recent(history, self.memory)
        each = [with_nothing(part.utilities(short, items)) for part in self._learners]
        log_p = torch.stack([values.log_softmax(1) for values in each])
        weights = blocks(self.gate(history), len(items)).T.unsqueeze(2)
        mixed = (weights + log_p).logsumexp(0)
        return mixed[:, :-1] - mixed[:, -1:]

    def reward_model(self) -> RewardModel:
        """The first kind's reward and the others', weighed by the gate."""
        first, *others = (part.reward_network for part in self._learners)
        return RewardModel(first, others=others, gate=self.gate, memory=self.memory)

    @property
    def _learners(self) -> list[MaxEnt]:
        return [part for part in self.parts if isinstance(part, MaxEnt)]
