"""Learners of rewards from choices that are compared with maximum entropy."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from lightrec.data.store import TEST, VALIDATION
from lightrec.errors import RecipeError
from lightrec.keys import PADDING, Key
from lightrec.nn.part import Part
from lightrec.nn.session import perceptron
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import ChoiceModel, blocks, with_nothing
from lightrec.users.choice_sets import Batch, ChoiceSets, Request
from lightrec.users.irl import (
    LookingAhead,
    Make,
    MaxEnt,
    RewardLearner,
    RewardModel,
    chosen,
    mean,
    recent,
)
from lightrec.users.parts_fitting import SessionTable


class ClickClassifier(RewardLearner):
    """Classifies each shown item by itself: a logit above 0 means that it was probably chosen."""

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Binary cross-entropy, the mean over a set's items."""
        items = batch[Key.CANDIDATES]
        logits = self.utilities(batch[Key.HISTORY], items)
        there = items != PADDING
        slots = torch.arange(items.shape[1], device=items.device)
        taken = (slots == batch[Key.CHOICE].unsqueeze(1)).to(logits.dtype)
        each = binary_cross_entropy_with_logits(
            logits.masked_fill(~there, 0.0), taken, reduction="none"
        )
        return mean((each * there).sum(1) / there.sum(1).clamp_min(1), batch)


class RewardWeightedLikelihood(RewardLearner):
    """The recommender that maximises the mean of Σ_t r_t · log π(a_t | s_t) over the log's steps.

    π is a softmax of the utilities over the set and nothing. This is the surrogate of the policy
    gradient only where the actions were drawn from π itself and r_t is the return from t on, or an
    advantage. With single rewards it ignores later effects of an action; with positive rewards
    alone every action taken becomes likelier, and with negative ones it grows without bound as π
    gives the actions taken no probability at all.

    :param reward: r_t: ``engagement`` is 1 for an item and 0 for nothing, so that declined offers
        teach nothing; ``probability-log`` is p·log p of π's own probability p of the choice, held
        constant: never positive, it makes the choice *less* likely.
    """

    def __init__(self, reward: Literal["engagement", "probability-log"] = "engagement") -> None:
        super().__init__()
        self.reward = reward

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Minus the weighted log-likelihood."""
        values = with_nothing(self.utilities(batch[Key.HISTORY], batch[Key.CANDIDATES]))
        log_p = chosen(values.log_softmax(-1), batch)
        if self.reward == "engagement":
            weight = (batch[Key.CHOICE] < batch[Key.CANDIDATES].shape[1]).to(log_p.dtype)
        else:
            weight = (log_p.exp() * log_p).detach()
        return -mean(weight * log_p, batch)


class Gate(Part):
    """Assigns people to one of K kinds, by the states that a trunk makes of their histories."""

    def __init__(self, trunk: ChoiceModel, kinds: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.linear = nn.Linear(self.trunk.state_size, kinds)

    def forward(self, history: Tensor) -> Tensor:
        """Log-probabilities (B, K) of the kinds, of histories (B, any length)."""
        logits: Tensor = self.linear(self.trunk.state(history))
        return logits.log_softmax(1)


class TasteMixture(RewardLearner):
    """K kinds of people, each with a reward and a W of its own: P(i | s) = Σ_k g_k(s) P_k(i | s).

    :param kinds: K.
    :param memory: how many of the last steps a kind's own reward reads. One that reads the whole
        history distinguishes kinds by itself, and leaves nothing to the mixture.
    """

    def __init__(self, kinds: int = 2, memory: int = 3) -> None:
        super().__init__()
        if kinds < 2:
            raise RecipeError(f"kinds is {kinds}; a mixture has two kinds of people or more.")
        self.kinds, self.memory = kinds, memory
        self.parts = nn.ModuleList(MaxEnt() for _ in range(kinds))

    def build(self, make: Make, discount: float) -> None:
        """Make the parts, which differ by their random beginnings, and the gate."""
        for part in self._learners:
            part.build(make, discount)
        self.gate = Gate(make(), self.kinds)

    def stepped(self) -> None:
        """Move the averaged copies of W."""
        for part in self._learners:
            part.stepped()

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Minus the mixture's log-likelihood, and each kind's error of W by its share in a row."""
        short = batch | {Key.HISTORY: recent(batch[Key.HISTORY], self.memory)}
        parts = [part.terms(short, progress) for part in self._learners]
        likely, errors = (torch.stack(terms, 1) for terms in zip(*parts, strict=True))
        weights = blocks(self.gate(batch[Key.HISTORY]), len(likely))
        joint = weights + likely
        share = joint.detach().softmax(1)
        return mean((share * errors).sum(1) / 2 - joint.logsumexp(1), batch)

    def utilities(self, history: Tensor, items: Tensor) -> Tensor:
        """Log-odds against nothing (M · B, C) under the mixture."""
        short = recent(history, self.memory)
        each = [with_nothing(part.utilities(short, items)) for part in self._learners]
        log_p = torch.stack([values.log_softmax(1) for values in each])
        weights = blocks(self.gate(history), len(items)).T.unsqueeze(2)
        mixed = (weights + log_p).logsumexp(0)
        return mixed[:, :-1] - mixed[:, -1:]

    def reward_model(self) -> RewardModel:
        """The first kind's reward and the others', weighted by the gate."""
        first, *others = (part.reward_network for part in self._learners)
        return RewardModel(first, others=others, gate=self.gate, memory=self.memory)

    @property
    def _learners(self) -> list[MaxEnt]:
        return [part for part in self.parts if isinstance(part, MaxEnt)]


class NextSteps(ChoiceSets):
    """Batches with the offer of the step after a choice, or why there is none.

    Next to those of :class:`~lightrec.users.choice_sets.ChoiceSets`: ``next_candidates`` (R, C),
    and ``ended`` and ``cut`` (R,) bool. An event that is held out cuts its session. Where the log
    has no sets, and after a set that is declined by assumption, the next offer is drawn like the
    one before.

    :param sets: whose batches they are.
    :param ended: (E,) whether a session ended with an event; the last events of other sessions
        count as cut.
    """

    def __init__(self, sets: ChoiceSets, ended: NDArray[np.bool_]) -> None:
        self.__dict__ |= vars(sets)
        self.ended = ended
        self.last = np.zeros(len(self.store), bool)
        self.last[self.store.session_offsets[1:] - 1] = True
        held_out = np.isin(np.asarray(self.store.parts), (VALIDATION, TEST))
        self.last[:-1] |= held_out[1:]

    def __getitem__(self, request: Request) -> Batch:
        """The batch of some events, whose sets are the same as without the next step."""
        batch, (seeds, events) = super().__getitem__(request), request
        generator = np.random.default_rng((*seeds, len(seeds)))
        users = self.store.users_of(events)
        ended, last = self.ended[events], self.last[events]
        sets = self.offers(users, events + 1, generator)  # an item taken counts as met
        following = [np.where(last[:, None], PADDING, sets), ended, last & ~ended]
        if len(batch[Key.CHOICE]) > len(events):
            goes_on = np.zeros(len(events), bool)
            again = [self.declined(users, events, generator), goes_on, goes_on]
            following = [np.concatenate(pair) for pair in zip(following, again, strict=True)]
        keys = (Key.NEXT_CANDIDATES, Key.ENDED, Key.CUT)
        return batch | dict(zip(keys, map(torch.from_numpy, following), strict=True))


class IQLearn(LookingAhead):
    """Learns Q(s, i) = b(s) + u(s, i), u of nothing being 0; r = Q(s, i) - γ' V(s′).

    Garg et al. 2021, "IQ-Learn: inverse soft-Q learning for imitation", from logs alone.

    It maximises the mean over the log's steps of r - r² / 4α - (V(s) - γ' V(s′)), with V(s) =
    b(s) + log(1 + Σ exp u) over the offer: the log-likelihood of the choices less r² / 4α, by which
    occupancies are matched in the χ² divergence. Where the log of a session was cut, W predicts
    V(s′); where the session ended, V(s′) is 0.

    :param anchor: weight of (b(s) - γ' W(s after nothing))², by which nothing has reward 0. With 0
        the published method remains, whose reward leaves open how values differ by state.
    :param strength: α: the larger, the weaker the penalty on large rewards.
    """

    def __init__(self, anchor: float = 1.0, strength: float = 10.0) -> None:
        super().__init__()
        if strength <= 0:
            raise RecipeError(f"strength is {strength}; it must be above 0.")
        self.anchor, self.strength = anchor, strength

    def prepare(self, data: ChoiceData, leave_rate: float) -> None:
        """Let batches hold the next step."""
        ended = np.zeros(len(data.store), bool)
        # Without declined slates a session may go on after the last choice; and with a leave rate
        # the discount contains the ends already.
        if data.store.has_nothing and leave_rate == 0:
            table = SessionTable(data)
            ended[table.ends[~table.cut] - 1] = True
        data.sets = NextSteps(data.sets, ended)

    def build(self, make: Make, discount: float) -> None:
        """Make u, W, and b on W's states."""
        super().build(make, discount)
        size, width = self.value.trunk.state_size, self.value.hidden_size
        self.base = perceptron([size, width, 1], activation=nn.SiLU)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Minus the objective, the anchor, and half W's squared error."""
        items = batch[Key.CANDIDATES]
        history = blocks(batch[Key.HISTORY], len(items))
        discount = self.discount_at(progress)
        base, utilities = self._parts(history, items)
        value = base + utilities.logsumexp(-1)
        later = self._later(history, batch)
        reward = base + chosen(utilities, batch) - discount * later
        scaled = reward / self.strength
        gained = self.strength * (scaled - scaled.square() / 4)
        with torch.no_grad():
            idle = self.slow.after_nothing(history)
        loose = (base - discount * idle).square()
        error = (self.value(history) - value.detach()).square()
        each = value - discount * later - gained + self.anchor / 2 * loose + error / 2
        return mean(each, batch)

    def reward_model(self) -> RewardModel:
        """Q less the averaged continuation value, both relative to nothing."""
        return RewardModel(self.reward_network, self.slow, self.discount)

    def _parts(self, history: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """b (R,), and u (R, C + 1) with nothing last."""
        utilities = self.reward_network.utilities(self.reward_network.state(history), items)
        base = self.base(self.value.trunk.state(history)).squeeze(-1)
        return base, with_nothing(utilities)

    def _later(self, history: Tensor, batch: Batch) -> Tensor:
        """V(s′) (R,) after the choices, 0 where the session ended."""
        nothing = self.reward_network.num_items + 1
        taken = chosen(pad(batch[Key.CANDIDATES], (0, 1), value=nothing), batch).unsqueeze(1)
        after = torch.cat([history[:, 1:], taken], 1)
        if not self.reward_network.records_nothing:
            after = torch.where(taken == nothing, history, after)
        base, utilities = self._parts(after, batch[Key.NEXT_CANDIDATES])
        with torch.no_grad():
            predicted = self.slow(after)
        later = torch.where(batch[Key.CUT], predicted, base + utilities.logsumexp(-1))
        return torch.where(batch[Key.ENDED], 0.0, later)
