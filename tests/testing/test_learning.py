"""Each check of losses, item models and learners fails for one that is wrong in just that."""

import random
from types import MethodType

import numpy as np
import pytest
import torch
from lightrec_testing.plugins import kind_of
from torch import is_autocast_enabled as autocast
from torch import nn

from lightrec.api import ItemModel, Key, Learner, log_likelihood
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.ranking.losses import SoftmaxLoss
from lightrec.users.choice_model import PooledChoice, with_nothing
from lightrec.users.irl import RewardLearner, RewardModel, chosen, mean

CHANCE = random.Random()
"""What no seed of a check reaches."""


class CrossEntropy(SoftmaxLoss):
    """Of the next item against all that a row has not seen."""

    def __init__(self, scale: float = 1.0):
        super().__init__()
        self.scale = scale

    def forward(self, ranker, states, target, seen):
        loss = super().forward(ranker, states, target, lambda rows: self.out(seen(rows)))
        return self.change(self.scale * loss, target)

    def out(self, seen):
        return seen

    def change(self, loss, target):
        return loss


def seeds(self, result, *_):
    np.random.seed(0)
    return result


def writes(self, loss, target):
    target[0] = 6
    return loss


class Counts(ItemModel):
    """Events of an item, and more for those of the history."""

    def __init__(self, weight: float = 0.5):
        super().__init__()
        self.weight = weight

    def fit(self, evidence):
        self.register_buffer("counts", self.counted(evidence))
        return self

    def counted(self, evidence):
        return evidence.counts()

    def scores(self, histories, users=None, *, details=None):
        held = torch.zeros(len(histories), len(self.counts), device=histories.device)
        held.scatter_add_(1, histories, (histories > 0).float())
        return self.change(self.weight * self.counts + held, histories)

    def change(self, scores, histories):
        return scores


class Trained(Counts):
    def fit(self, evidence):
        self.register_buffer("shift", torch.zeros((), requires_grad=True))
        return super().fit(evidence)

    def change(self, scores, histories):
        return scores + self.shift


def clears(self, scores, histories):
    histories[:, 0] = 0
    return scores


class Pooled(PooledChoice):
    """One of twelve items."""

    def __init__(self, pools: int = 2):
        super().__init__(12, 3, 5, pools=pools)


class Fixed(Pooled):
    def __init__(self):
        super().__init__()
        self.shift = CHANCE.random()

    def utilities(self, state, items=None, user=None):
        return super().utilities(state, items, user) + self.shift


class Logit(RewardLearner):
    """A conditional logit."""

    def loss(self, batch, progress):
        values = with_nothing(self.utilities(batch[Key.HISTORY], batch[Key.CANDIDATES]))
        return self.mean(-chosen(values.log_softmax(1), batch), batch)

    def mean(self, each, batch):
        return mean(each, batch)


class OfAnother(Logit):
    def build(self, make, discount):
        super().build(make, discount)
        self.other = make()

    def reward_model(self):
        return RewardModel(self.other)


class Lost(Logit):
    def reward_model(self):
        model = super().reward_model()
        model.reward = MethodType(lambda s, *how: 2 * RewardModel.reward(s, *how), model)
        return model


class Cloning(Learner):
    """Likelihood of what was shown."""

    def make_loss(self):
        return nn.Identity()

    def losses(self, batch):
        return {"loss_actor": self.mean(-log_likelihood(self.policy, batch), batch)}

    def mean(self, each, batch):
        return each.mean()


class Unregistered(Cloning):
    def make_loss(self):
        self.scale = 1 + CHANCE.random()
        return nn.Identity()

    def mean(self, each, batch):
        return self.scale * each.mean()


def unmasked(self, batch):
    law = PlackettLuce(self.policy.logits(batch), torch.ones_like(batch[Key.MASK]), 1)
    return {"loss_actor": -law.log_prob(batch[Key.ACTION]).mean()}


def worth_of_nothing(self, each, batch):
    return each.mean() + self.policy.columns(batch["next"]).logits.exp().sum(-1).log().mean()


@pytest.mark.parametrize("right", [CrossEntropy, Counts, Pooled, Logit, Cloning])
def test_a_right_one_passes(right, failing):
    assert failing(kind_of(right)(right)) == set()


LOSSES = [
    ({"change": lambda s, loss, target: loss.expand(len(target))}, {"output as declared"}),
    ({"change": lambda s, loss, _: loss * (1 + autocast("cpu"))}, {"output as declared"}),
    ({"change": lambda s, loss, _: loss.detach()}, {"gradients"}),
    ({"change": lambda s, loss, _: loss + (loss - loss).sqrt()}, {"gradients"}),
    ({"change": lambda s, loss, target: loss * len(target)}, {"alike"}),
    ({"change": lambda s, loss, target: loss + 0.1 * target.float().sum()}, {"alike"}),
    ({"change": lambda s, loss, target: loss + 0 * target.float().mean()}, {"no predictions"}),
    ({"out": lambda s, seen: 0 * seen}, {"seen items"}),
    ({"change": lambda s, loss, _: -loss}, {"better ranked"}),
    ({"change": lambda s, loss, _: loss * (1 + CHANCE.random())}, {"alike"}),
    ({"change": seeds}, {"global chance"}),
    ({"change": writes}, {"input unchanged"}),
    ({"__init__": lambda s: CrossEntropy.__init__(s, CHANCE.random())}, {"saved"}),
]
MODELS = [
    ({"change": lambda s, scores, _: scores.double()}, {"output as declared"}),
    ({"change": lambda s, scores, h: scores / (h > 0).sum(1, True)}, {"output as declared"}),
    ({"change": lambda s, scores, h: scores / h.shape[1]}, {"padding"}),
    ({"change": lambda s, scores, _: scores - scores.mean(0)}, {"rows apart"}),
    ({"change": lambda s, scores, _: scores * CHANCE.random()}, {"deterministic"}),
    ({"change": seeds}, {"global chance"}),
    ({"change": clears}, {"input unchanged"}),
    ({"counted": lambda s, e: e.counts() * CHANCE.random()}, {"fitted alike"}),
    ({"counted": lambda s, e: e.counts() * len(e.items["kind"])}, {"bare logs"}),
    ({"counted": lambda s, e: torch.arange(e.num_items + 1.0)}, {"follows the log"}),
    ({"change": lambda s, scores, _: scores.roll(1, 1)}, {"follows the log"}),
    ({"__init__": lambda s, weight=0.5: Counts.__init__(s, 2 * weight)}, {"saved"}),
]
STATE, VALUES = PooledChoice.state, PooledChoice.utilities
CHOICES = [
    ({"after": lambda s, h, items: PooledChoice.after(s, 0 * h, items)}, {"after a choice"}),
    ({"utilities": lambda s, h, i=None, u=None: VALUES(s, h, i, u) + (i is not None)}, {"sets"}),
    ({"utilities": lambda s, *how: VALUES(s, *how).nan_to_num(neginf=0.0)}, {"sets"}),
    ({"state": lambda s, h: STATE(s, h) / h.shape[1]}, {"padding", "after a choice"}),
    ({"state": lambda s, h: STATE(s, h) - STATE(s, h[:1])}, {"rows apart"}),
    ({"state": lambda s, h: STATE(s, h) * h.sum(1, keepdim=True)}, {"padding"}),
    ({"state": lambda s, h: STATE(s, h) * CHANCE.random()}, {"deterministic"}),
    ({"state": lambda s, h: STATE(s, h) / h.any(1, keepdim=True)}, {"output as declared"}),
]
REWARDS = [
    ({"mean": lambda s, each, batch: each}, {"output as declared"}),
    ({"mean": lambda s, each, batch: mean(each, batch).detach()}, {"gradients"}),
    ({"mean": lambda s, each, batch: each.mean()}, {"alike"}),
    ({"mean": lambda s, each, b: mean(each * (1 + b[Key.CHOICE]), b)}, {"alike"}),
    ({"utilities": lambda s, *how: Logit.utilities(s, *how).nan_to_num(neginf=0.0)}, {"alike"}),
    ({"mean": lambda s, each, batch: -mean(each, batch)}, {"known reward"}),
    ({"mean": lambda s, each, b: mean(each, b) * CHANCE.random()}, {"same seed"}),
]
LEARNERS = [
    ({"losses": lambda s, b: {"own": Cloning.losses(s, b)["loss_actor"]}}, {"output as declared"}),
    ({"mean": lambda s, each, batch: each.mean().detach()}, {"gradients"}),
    ({"mean": lambda s, each, batch: each.sum()}, {"alike"}),
    ({"losses": unmasked}, {"alike"}),
    ({"mean": lambda s, each, batch: -each.mean()}, {"preferred"}),
    ({"mean": lambda s, each, batch: each.mean() * CHANCE.random()}, {"same seed"}),
    ({"mean": worth_of_nothing}, {"nothing to show"}),
    ({"law": lambda s, state, e: PlackettLuce(s.policy.logits(state), None, 1)}, {"law"}),
    ({"mean": lambda s, each, batch: seeds(s, each.mean())}, {"global chance"}),
]


@pytest.mark.parametrize(
    ("base", "changed", "names"),
    [
        *((CrossEntropy, *wrong) for wrong in LOSSES),
        *((Counts, *wrong) for wrong in MODELS),
        (Trained, {}, {"gradients"}),
        *((Pooled, *wrong) for wrong in CHOICES),
        (Fixed, {}, {"saved"}),
        *((Logit, *wrong) for wrong in REWARDS),
        (OfAnother, {}, {"known reward"}),
        (Lost, {}, {"saved"}),
        *((Cloning, *wrong) for wrong in LEARNERS),
        (Unregistered, {}, {"saved"}),
    ],
)
def test_a_wrong_one_fails(base, changed, names, failing):
    assert failing(kind_of(base)(type("Wrong", (base,), changed))) >= names
