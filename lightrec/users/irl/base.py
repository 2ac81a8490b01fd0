"""The base class of what learns a reward from choices, and learners that do not look ahead."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import deepcopy
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from lightrec.keys import PADDING, Key
from lightrec.nn.part import Part
from lightrec.users.choice_model import ChoiceModel
from lightrec.users.reward_model import Continuation, RewardModel, average

Batch = dict[str, Tensor]
Make = Callable[[], ChoiceModel]
"""Makes a choice model that has not learned anything yet."""


class RewardLearner(Part, ABC):
    """Learns from choices what people want.

    A learner has networks of its own, trained beside the user model on the same batches. A row of a
    batch is a choice from a set, or of nothing: ``Key.HISTORY`` (B, L), ``Key.CANDIDATES`` (R, C),
    ``Key.CHOICE`` (R,), ``Key.WEIGHT`` (R,); R is a multiple M of B, as blocks in the order of the
    histories. Where :attr:`reads_next`, ``Key.NEXT_CANDIDATES`` (R, C) is what is on offer in the
    step after, and ``Key.ENDED`` and ``Key.CUT`` (R,) bool tell whether there is none: because the
    session ended, or because the log of it did.

    How far people look ahead, γ' = γ · (1 - leave rate), is given and not learned: choices of a
    log are as likely under one γ as under another, while a wrong γ costs as much as looking ahead
    gains. With γ' = 0 every learner is a conditional logit in another dress.

    Subclass it, and a recipe can name the class: ``learner: {class_path: my_package.MyLearner}``.
    The constructor's arguments are plain Python.
    """

    reads_next: ClassVar[bool] = False
    """Whether batches must tell of the step after."""

    @abstractmethod
    def build(self, make: Make, discount: float) -> None:
        """Make the networks.

        :param make: gives a fresh choice model for each call.
        :param discount: γ'.
        """

    @property
    @abstractmethod
    def networks(self) -> list[ChoiceModel]:
        """The choice models among the networks that are trained; they are told of the items."""

    @abstractmethod
    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Give a scalar, a mean over weighted rows, to be made small.

        :param progress: of the training, from 0 to 1.
        """

    def start(self) -> None:
        """Begin: networks that follow others become their copies. Called once items are told."""

    def stepped(self) -> None:
        """Follow a step of the optimizer, as averaged target networks do."""

    @abstractmethod
    def utilities(self, history: Tensor, items: Tensor) -> Tensor:
        """Give Q(s, i) - Q(s, nothing) by which people choose: (M · B, C) of sets (M · B, C)."""

    @abstractmethod
    def reward_model(self) -> RewardModel:
        """What was learned."""


class LookingAhead(RewardLearner):
    """What learners share that learn W next to a network of rewards, and follow its average.

    :param rate: by which share of a step the averaged copy of W moves.
    :param ramp: the share of training in which γ' rises to its value.
    """

    reward_network: ChoiceModel
    value: Continuation
    slow: Continuation

    def __init__(self, rate: float, ramp: float) -> None:
        super().__init__()
        self.rate, self.ramp = rate, ramp
        self.discount = 0.0

    def build(self, make: Make, discount: float) -> None:
        """Make the reward network, W, and W's averaged copy."""
        self.reward_network, self.discount = make(), discount
        self.value = Continuation(make())
        self.slow = deepcopy(self.value).requires_grad_(False)

    @property
    def networks(self) -> list[ChoiceModel]:
        """The networks of rewards and of W."""
        return [self.reward_network, self.value.trunk]

    def start(self) -> None:
        """Copy W."""
        self.slow.load_state_dict(self.value.state_dict())

    def stepped(self) -> None:
        """Let the averaged W follow."""
        average(self.slow, self.value, self.rate)

    def discount_at(self, progress: float) -> float:
        """γ' at a point of the training, from 0 to 1."""
        return self.discount * min(1.0, progress / self.ramp) if self.ramp else self.discount


def blocks(values: Tensor, rows: int) -> Tensor:
    """Repeat what belongs to histories (B, ...) for all blocks of sets: (rows, ...)."""
    return values.repeat(rows // len(values), *[1] * (values.ndim - 1))


def with_nothing(utilities: Tensor, nothing: Tensor | float = 0.0) -> Tensor:
    """Add nothing, in the last column, to utilities (R, C)."""
    if isinstance(nothing, float):
        return pad(utilities, (0, 1), value=nothing)
    return pad(utilities, (0, 1)) + pad(nothing.unsqueeze(1), (utilities.shape[1], 0))


def mean(values: Tensor, batch: Batch) -> Tensor:
    """Average rows (R,) by their weights."""
    weight = batch[Key.WEIGHT]
    return (weight * values).sum() / weight.sum()


def chosen(values: Tensor, batch: Batch) -> Tensor:
    """Pick from (R, C + 1) what belongs to the choice: (R,)."""
    return values.gather(1, batch[Key.CHOICE].unsqueeze(1)).squeeze(1)


class _OneNetwork(RewardLearner):
    def __init__(self) -> None:
        super().__init__()
        self.reward_network: ChoiceModel

    def build(self, make: Make, discount: float) -> None:
        """Make the network; γ' has no part in it."""
        self.reward_network = make()

    @property
    def networks(self) -> list[ChoiceModel]:
        """The one network."""
        return [self.reward_network]

    def utilities(self, history: Tensor, items: Tensor) -> Tensor:
        """Give the network's utilities (M · B, C)."""
        return self.reward_network.utilities(
            blocks(self.reward_network.state(history), len(items)), items
        )

    def reward_model(self) -> RewardModel:
        """The network's utilities, taken for rewards."""
        return RewardModel(self.reward_network)


class ClickClassifier(_OneNetwork):
    """Each shown item apart: was it chosen? A logit above 0 means that it likely was.

    What else was on offer plays no part.
    """

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


class RewardWeightedLikelihood(_OneNetwork):
    """The recommender that maximises the mean of Σ_t r_t · log π(a_t | s_t) over the log's steps.

    π is a softmax over the set and nothing, whose utilities are learned. This is the surrogate of
    the policy gradient only where the actions were drawn from π itself and r_t is the return from t
    on, or an advantage. With single rewards it ignores what an action brings later; with positive
    rewards alone every action taken becomes likelier, and with negative ones it grows without bound
    as π gives what was taken no probability at all.

    :param reward: r_t: ``engagement`` is 1 for an item and 0 for nothing, so that declined offers
        teach nothing; ``probability-log`` is p·log p of π's own probability p of what was chosen,
        held constant: never positive, it makes what was chosen *less* likely.
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
