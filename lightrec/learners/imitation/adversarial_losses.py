"""What discriminators are trained on, and the rewards that policies are trained on by them."""

from typing import Literal

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn
from torch.nn.functional import softplus

from lightrec.learners.imitation.discriminators import Discriminator

RewardForm = Literal["logit", "positive", "negative"]
"""How a logit becomes a reward; see :func:`reward_from_logit`."""


def reward_from_logit(logit: Tensor, form: RewardForm) -> Tensor:
    """Turn the log-odds of being the expert into a reward.

    :param logit: any shape, high means expert; D = sigmoid(logit).
    :param form: ``logit``: log D - log(1 - D), of either sign. ``positive``: -log(1 - D), never
        below 0, so that every further step pays and a policy learns to stay, whatever it does
        there. ``negative``: log D, never above 0, so that every further step costs and a policy
        learns to end (Kostrikov et al. 2019). Where sessions have one length all are fair.
    """
    if form == "logit":
        return logit
    return softplus(logit) if form == "positive" else -softplus(-logit)


def discriminator_loss(
    discriminator: Discriminator,
    expert: TensorDictBase,
    policy: TensorDictBase,
    penalty: float = 0.0,
) -> dict[str, Tensor]:
    """Binary cross-entropy: the expert's transitions are 1, the policy's 0.

    :param expert: (N,) transitions.
    :param policy: (N,) transitions, as many.
    :param penalty: weight of :func:`gradient_penalty`.
    :returns: ``loss_discriminator``, ``loss_penalty`` where there is one, and how often either
        side is told rightly: ``expert_right``, ``policy_right``.
    """
    shown, done = discriminator.logit(expert), discriminator.logit(policy)
    losses = {
        "loss_discriminator": (softplus(-shown).mean() + softplus(done).mean()) / 2,
        "expert_right": (shown.detach() > 0).float().mean(),
        "policy_right": (done.detach() < 0).float().mean(),
    }
    if penalty:
        losses["loss_penalty"] = penalty * gradient_penalty(discriminator, expert, policy)
    return losses


def gradient_penalty(
    discriminator: Discriminator, expert: TensorDictBase, policy: TensorDictBase, norm: float = 1.0
) -> Tensor:
    """Give E (‖∇ score‖ - norm)² between demonstrations and own steps (Gulrajani et al. 2017).

    The gradient is by the vectors that stand for states and choices, never by ids, and goes into no
    embedding: between two items there is no third, but between their vectors there is a line.

    :param expert: (N,) transitions.
    :param policy: (N,) transitions, as many.
    """
    with torch.no_grad():
        ends = discriminator.inputs(expert), discriminator.inputs(policy)
    rows = len(ends[0][0])
    share = torch.rand(rows, device=ends[0][0].device)
    between = [
        torch.lerp(a, b, share.view(rows, *[1] * (a.dim() - 1))).requires_grad_()
        for a, b in zip(*ends, strict=True)
    ]
    score = discriminator.score(*between)
    slopes = torch.autograd.grad(score.sum(), between, create_graph=True, allow_unused=True)
    # The root has no derivative at 0.
    square = sum(slope.flatten(1).square().sum(1) for slope in slopes if slope is not None)
    assert isinstance(square, Tensor)
    return ((square + 1e-12).sqrt() - norm).square().mean()


class RunningScale(nn.Module):
    """Divides training rewards by their standard deviation so far, and takes nothing off them.

    A reward's sign says whether a further step pays; taking a mean off would change it. What is
    judged never passes through here.
    """

    count: Tensor
    mean: Tensor
    square: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("count", "mean", "square"):
            self.register_buffer(name, torch.zeros(()))

    @torch.no_grad()
    def forward(self, reward: Tensor) -> Tensor:
        """Learn from rewards of any shape, and give them divided."""
        values = reward.float()
        # Old discriminators' rewards are forgotten, so that a hundred batches are the memory.
        weight = 1 / (self.count + 1).clamp_max(100)
        self.count += 1
        self.mean += weight * (values.mean() - self.mean)
        self.square += weight * (values.square().mean() - self.square)
        deviation = (self.square - self.mean.square()).clamp_min(0).sqrt()
        return reward / deviation.clamp_min(1e-6).to(reward)
