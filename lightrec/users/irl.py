"""Inverse reinforcement learning: from what people chose to what they want.

Here are learned rewards, the base classes of their learners, maximum entropy, and the two-step
estimator, which needs no learner: it reads rewards off a fitted choice model.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.nn.part import Part
from lightrec.nn.session import perceptron
from lightrec.users.choice_model import ChoiceModel, blocks, with_nothing
from lightrec.users.choice_sets import Batch

if TYPE_CHECKING:
    from lightrec.users.choice_data import ChoiceData  # which reads logs, as a user model need not

__path__: list[str] = []
"""Nothing lies in it; what imports modules that once did learns where their names are now."""
Make = Callable[[], ChoiceModel]
"""Makes an untrained choice model."""
ANYWHERE = 0.6
"""Deviation of the initial weights of nothing's reward where it is free, of some nats: learning
that begins near the truth also ends near it."""
RATE = 0.02
"""The share of a step by which averaged copies of W move."""
RAMP = 0.15
"""The share of training in which γ' rises to its value."""


class Continuation(Part):
    """W(s), the expected value of the next offer, by a network of its own over histories.

    :param trunk: turns histories into states; its utilities are not used. States that are fitted to
        choices would be coarser, and be spoilt by the errors of W.
    :param hidden_size: width of two hidden layers.
    """

    def __init__(self, trunk: ChoiceModel, hidden_size: int = 64) -> None:
        super().__init__()
        self.trunk, self.hidden_size = trunk, hidden_size
        sizes = [self.trunk.state_size, hidden_size, hidden_size, 1]
        self.network = perceptron(sizes, activation=nn.SiLU)
        self.linear = nn.Linear(self.trunk.state_size, 1, bias=False)

    def forward(self, history: Tensor) -> Tensor:
        """W (B,) of histories (B, any length)."""
        return self._of(self.trunk.state(history))

    def after(self, history: Tensor, items: Tensor) -> Tensor:
        """W (B, C) when each of items (B, C), in turn, is added to histories (B, any length)."""
        return self._of(self.trunk.after(history, items))

    def after_nothing(self, history: Tensor) -> Tensor:
        """W (B,) when nothing is chosen after histories (B, any length)."""
        return self._of(self.trunk.after_nothing(history))

    def _of(self, state: Tensor) -> Tensor:
        value: Tensor = self.network(state) + self.linear(state)
        return value.squeeze(-1)


class RewardModel(Part):
    """A learned reward r(s, i), in nats and relative to nothing.

    r(s, i) = utility of i - γ' (W(s after i) - W(s after nothing)); without W the utility alone.

    :param network: the model whose utilities count.
    :param continuation: W, where the utilities are values and not rewards yet.
    :param discount: γ' = γ · (1 - leave rate).
    """

    def __init__(
        self,
        network: ChoiceModel,
        continuation: Continuation | None = None,
        discount: float = 0.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.continuation = continuation
        self.discount = discount

    def reward(self, history: Tensor, items: Tensor) -> Tensor:
        """Rewards (B, C) of items (B, C) after histories (B, any length)."""
        utilities = self.network.utilities(self.network.state(history), items)
        if self.continuation is None:
            return utilities
        idle = self.continuation.after_nothing(history).unsqueeze(1)
        return utilities - self.discount * (self.continuation.after(history, items) - idle)


@torch.no_grad()
def average(target: nn.Module, source: nn.Module, rate: float) -> None:
    """Move a target network towards another one by a share (Polyak and Juditsky 1992)."""
    for old, new in zip(target.parameters(), source.parameters(), strict=True):
        old.lerp_(new, rate)


class RewardLearner(Part, ABC):
    """Learns a reward from choices, by networks of its own on the batches of the user model.

    A row of a batch is a choice from a set, or of nothing: ``Key.HISTORY`` (B, L),
    ``Key.CANDIDATES`` (R, C), ``Key.CHOICE`` (R,), ``Key.WEIGHT`` (R,); R is a multiple M of B, as
    blocks in the order of the histories.

    How far people look ahead, γ' = γ · (1 - leave rate), is given: choices are as likely under one
    γ as under another. With γ' = 0 every learner is a conditional logit.

    A recipe names a subclass by ``learner: {class_path: my_package.MyLearner}``; its arguments are
    plain Python. All choice models that a learner holds get the items' vectors.
    """

    reward_network: ChoiceModel
    """Its utilities are the learned reward, unless :meth:`reward_model` says otherwise."""

    def build(self, make: Make, discount: float) -> None:
        """Make the networks; ``discount`` is γ', and each call of ``make`` a new choice model."""
        self.reward_network = make()

    def prepare(self, data: "ChoiceData", leave_rate: float) -> None:
        """Change what the data's batches hold, before training; by default nothing."""

    @abstractmethod
    def loss(self, batch: Batch, progress: float) -> Tensor:
        """A scalar to minimise, a mean over weighted rows; ``progress`` goes from 0 to 1."""

    def stepped(self) -> None:
        """Follow a step of the optimizer, as averaged target networks do."""

    def utilities(self, history: Tensor, items: Tensor) -> Tensor:
        """Q(s, i) - Q(s, nothing) by which people choose: (M · B, C) of sets (M · B, C)."""
        state = blocks(self.reward_network.state(history), len(items))
        return self.reward_network.utilities(state, items)

    def reward_model(self) -> RewardModel:
        """The learned reward."""
        return RewardModel(self.reward_network)


def mean(values: Tensor, batch: Batch, times: Tensor | float = 1.0) -> Tensor:
    """Average rows (R,) by their weights, each counted a number of times."""
    weight = batch[Key.WEIGHT]
    return (times * weight * values).sum() / weight.sum()


def chosen(values: Tensor, batch: Batch) -> Tensor:
    """Pick the choices' own (R,) from values (R, C + 1)."""
    return values.gather(1, batch[Key.CHOICE].unsqueeze(1)).squeeze(1)


class MaxEnt(RewardLearner):
    """The reward under which the log's choices are most likely, by maximum entropy.

    People choose with probability ∝ exp Q, Q(s, i) = r(s, i) + γ' W(s after i). W(s), the mean of
    log Σ exp Q over the offers of s, is a network that follows its own targets (Ziebart et al.
    2010; fitted soft value iteration in place of the nested solution of Rust 1987).

    Here the reward is the network that priors keep simple; in the two-step estimator it is Q.

    :param anchored: whether nothing has reward 0. If its reward is learned, choices are explained
        as well and the reward is arbitrary: a number may be added to the rewards of all choices in
        s, nothing included, and subtracted from those that lead to s. The option shows just that.
    """

    def __init__(self, anchored: bool = True) -> None:
        super().__init__()
        self.anchored, self.discount = anchored, 0.0

    def build(self, make: Make, discount: float) -> None:
        """Make r, W and its averaged copy, and nothing's reward where that is free."""
        super().build(make, discount)
        self.discount = discount
        self.value = Continuation(make())
        self.slow = copy.deepcopy(self.value).requires_grad_(False)
        self.nothing = None
        if not self.anchored:
            self.nothing = nn.Linear(self.reward_network.state_size, 1)
            nn.init.normal_(self.nothing.weight, std=ANYWHERE)

    def stepped(self) -> None:
        """Move the averaged copy of W."""
        average(self.slow, self.value, RATE)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Minus the log-likelihood, and half W's squared error; γ' grows at first."""
        history, items = batch[Key.HISTORY], batch[Key.CANDIDATES]
        discount = self.discount * min(1.0, progress / RAMP)
        values, idle = self._values(history, items, discount)
        likely = chosen(values.log_softmax(-1), batch)
        target = (discount * idle + values.logsumexp(-1)).detach()
        error = blocks(self.value(history), len(items)) - target
        return mean(error.square() / 2 - likely, batch)

    def utilities(self, history: Tensor, items: Tensor) -> Tensor:
        """Q(s, i) - Q(s, nothing), by the averaged W."""
        values, _ = self._values(history, items, self.discount)
        return values[:, :-1] - values[:, -1:]

    def _values(self, history: Tensor, items: Tensor, discount: float) -> tuple[Tensor, Tensor]:
        """Q - γ' W(s after nothing), which is the same for all of a set, (R, C + 1); and W (R,)."""
        with torch.no_grad():
            idle = blocks(self.slow.after_nothing(history), len(items))
            gain = torch.zeros_like(items, dtype=idle.dtype)
            if self.discount:
                gain = self.slow.after(blocks(history, len(items)), items) - idle.unsqueeze(1)
        state = blocks(self.reward_network.state(history), len(items))
        rewards = self.reward_network.utilities(state, items)
        nothing = None if self.nothing is None else self.nothing(state).squeeze(1)
        return with_nothing(rewards + discount * gain, nothing), idle


@torch.no_grad()
def fit_continuation(
    model: ChoiceModel,
    batches: Iterable[Batch],
    *,
    discount: float,
    leave_rate: float,
    ridge: float = 1e-3,
) -> None:
    """Fit W of a model whose choices are fitted, in place: the two-step estimator's second step.

    Nothing has reward 0, so V(s, offer) = γ' W(s after nothing) - log P(nothing | s, offer), and
    W(s) is the mean of V over offers (Hotz and Miller 1993; the anchor of Geng et al. 2020). W is
    linear in the state: one least-squares temporal-difference solve (Bradtke and Barto 1996).

    :param batches: of choices, whose states and offers are read.
    :param discount: γ of one step.
    :param leave_rate: probability that a session ends after a step.
    :param ridge: added to the diagonal, relative to each feature's mean square.
    :raises RecipeError: where discount or leave rate is out of range.
    """
    if not (0 <= discount <= 1 and 0 <= leave_rate <= 1 and discount * (1 - leave_rate) < 1):
        raise RecipeError(
            f"discount is {discount} and leave_rate is {leave_rate}; both lie between 0 and 1, and "
            "discount · (1 - leave_rate) must be below 1."
        )
    model.discount.fill_(discount)
    model.leave_rate.fill_(leave_rate)
    torch.nn.init.zeros_(model.value.weight)
    torch.nn.init.zeros_(model.value.bias)
    if model.survival_discount == 0:
        return
    size = model.state_size + 1
    normal = torch.zeros(size, size, dtype=torch.float64, device=model.bias.device)
    squares, target = torch.zeros(2, size, dtype=torch.float64, device=model.bias.device)
    total = 0.0
    for batch in batches:
        columns = (Key.HISTORY, Key.CANDIDATES, Key.WEIGHT)
        history, items, weight = (batch[column].to(normal.device) for column in columns)
        user = None if model.profile is None else batch[Key.USER].to(normal.device)
        now, idle = (
            blocks(pad(state, (0, 1), value=1.0).double(), len(items))
            for state in (model.state(history), model.after_nothing(history))
        )
        surprise = -model.log_probabilities(history, items, user)[:, -1].double()
        weighted = now * weight.double().unsqueeze(-1)
        normal += weighted.T @ (now - model.survival_discount * idle)
        squares += (weighted * now).sum(0)
        target += weighted.T @ surprise
        total += float(weight.sum())
    # The ridge leaves the constant alone: W of the average state must not shrink.
    penalty = ridge * squares
    penalty[-1] = 0
    solution = torch.linalg.solve(normal + torch.diag(penalty + 1e-9 * total), target)
    model.value.weight.copy_(solution[:-1].unsqueeze(0))
    model.value.bias.copy_(solution[-1:])
