"""Rewards from a discriminator that separates demonstrations from what a policy does.

Every logit is high where a transition looks like the expert's: D = sigmoid(logit) is the
probability that it is a demonstration.
"""

import copy
from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn
from torch.nn.functional import embedding, softplus

from lightrec.api import FEATURES, PADDING, Key
from lightrec.nn.session import perceptron
from lightrec.trust import ARGUMENTS
from lightrec_lab.imitation import ImitationReward

RewardForm = Literal["logit", "positive", "negative"]
"""How the log-odds of being the expert, D being their sigmoid, become a reward.

``logit``: log D - log(1 - D), of either sign. ``positive``: -log(1 - D), never below 0, so that
every further step pays and a policy learns to stay, whatever it does there. ``negative``: log D,
never above 0, so that every further step costs and a policy learns to end (Kostrikov et al. 2019).
Where sessions have one length all are fair.
"""


class AdversarialReward(ImitationReward):
    """The policy's reward is the discriminator's logit in some form, scaled.

    The reward to look at afterwards is :meth:`learned`, from ``averaged``, the discriminator with
    its weights averaged over the iterations: the one in training circles its goal.

    :param hidden: widths of the hidden layers.
    :param reward_form: how the logit becomes the policy's reward.
    :param penalty: weight of :meth:`gradient_penalty`; 0 for none.
    :param average: share by which ``averaged`` moves to the discriminator in an iteration.
    :param settings: of :class:`~lightrec_lab.imitation.ImitationReward`.
    :param feature_size: length S of a state's features; :meth:`fitted_to` fills in this and the
        number of items N, the length D of their vectors and the places K of a slate.
    """

    vectors: Tensor
    spread: Tensor

    def __init__(
        self,
        hidden: Sequence[int] = (32, 32),
        reward_form: RewardForm = "logit",
        penalty: float = 1.0,
        average: float = 0.05,
        feature_size: int = 0,
        num_items: int = 0,
        vector_size: int = 0,
        slate_size: int = 1,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.hidden = tuple(hidden)
        self.reward_form: RewardForm = reward_form
        self.penalty, self.average = penalty, average
        # One number more: whether the state absorbs.
        self.state_size = feature_size + 1
        self.choice_size = slate_size * vector_size
        self.register_buffer("vectors", torch.zeros(num_items + 1, vector_size))
        self.register_buffer("spread", torch.zeros(3))
        if num_items:
            self.discriminator = self.networks()
            self.averaged = copy.deepcopy(self.discriminator).requires_grad_(False)

    def networks(self) -> nn.ModuleDict:
        """Make the discriminator's networks: one, of states and items."""
        sizes = [self.state_size, *self.hidden, self.choice_size + 1]
        return nn.ModuleDict({"choice": perceptron(sizes)})

    def score(self, networks: nn.ModuleDict, inputs: Sequence[Tensor]) -> Tensor:
        """Score the vectors of transitions: (...), high for the expert.

        It is t(s) · a + l(s), t and l being outputs of one network, and a what is shown.

        :param networks: the discriminator's own, or averaged ones.
        :param inputs: as :meth:`inputs` gives them.
        """
        weights, shown = networks["choice"](inputs[0]), inputs[1][..., : self.choice_size]
        total: Tensor = (weights[..., :-1] * shown).sum(-1) + weights[..., -1]
        return total

    def learned(self, transition: TensorDictBase) -> Tensor:
        """The reward (...) that is left in the end, without shaping and scale."""
        return self.score(self.averaged, self.inputs(transition))

    def fitted_to(self, feature_size: int, vectors: Tensor, slate_size: int) -> Self:
        """A new reward with the same settings for states and items of a size.

        Item vectors are centred and brought to unit mean square.
        """
        sizes = {"feature_size": feature_size, "slate_size": slate_size}
        sizes |= {"num_items": len(vectors) - 1, "vector_size": vectors.shape[1]}
        made = type(self)(**{**self.description[ARGUMENTS], **sizes})
        items = vectors[1:].float() - vectors[1:].float().mean(0)
        made.vectors[1:] = items / items.square().mean().sqrt().clamp_min(1e-8)
        return made

    def inputs(self, transition: TensorDictBase) -> tuple[Tensor, ...]:
        """The vectors (..., any) of transitions that the score is a function of.

        :returns: of the state, of the items shown, of the next state, and whether there is a
            future (..., 1).
        """
        following = transition["next"]
        future = (~following["terminated"]).float()
        shown = self.choices(transition, transition[Key.ACTION]).flatten(-2)
        return self.states(transition), shown, self.states(following), future

    def states(self, state: TensorDictBase) -> Tensor:
        """A state's features, and whether it absorbs; then all else is 0: (..., S + 1)."""
        features = state[FEATURES]
        over = state.get(Key.ABSORBING, torch.zeros_like(features[..., :1])).to(features)
        return torch.cat([features * (1 - over), over], -1)

    def choices(self, state: TensorDictBase, items: Tensor) -> Tensor:
        """The vectors (..., C, D) of items (..., C); zeros where a state absorbs."""
        counts = (items > PADDING).unsqueeze(-1)
        if Key.ABSORBING in state:
            counts = counts & ~state[Key.ABSORBING].unsqueeze(-1)
        return embedding(items, self.vectors) * counts

    def logit(self, transition: TensorDictBase) -> Tensor:
        """Log-odds (...) that transitions are the expert's."""
        return self.score(self.discriminator, self.inputs(transition))

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """The policy's rewards (..., 1): divided by their standard deviation so far.

        Nothing is taken off: a reward's sign says whether a further step pays. In evaluation mode
        the deviation stays as it is, or 1 where there is none yet.
        """
        reward = self.logit(transition).float()
        if self.reward_form != "logit":
            reward = softplus(reward) if self.reward_form == "positive" else -softplus(-reward)
        if self.training:
            # Old discriminators' rewards are forgotten: a hundred batches are the memory.
            count = self.spread[0] + 1
            weight = 1 / count.clamp_max(100)
            moments = torch.stack([reward.mean(), reward.square().mean()])
            self.spread[1:].lerp_(moments, weight)
            self.spread[0] = count
        deviation = (self.spread[2] - self.spread[1].square()).clamp_min(0).sqrt().clamp_min(1e-6)
        return (reward / torch.where(self.spread[0] > 0, deviation, 1.0)).unsqueeze(-1)

    def losses(self, demonstrations: TensorDictBase, played: TensorDictBase) -> dict[str, Tensor]:
        """Binary cross-entropy: the expert's transitions are 1, the policy's 0.

        :returns: ``loss_discriminator``, ``loss_penalty`` where there is one, and how often either
            side is recognised: ``expert_right``, ``policy_right``.
        """
        expert, policy = self.logit(demonstrations), self.logit(played)
        losses = {
            "loss_discriminator": (softplus(-expert).mean() + softplus(policy).mean()) / 2,
            "expert_right": (expert.detach() > 0).float().mean(),
            "policy_right": (policy.detach() < 0).float().mean(),
        }
        if self.penalty:
            losses["loss_penalty"] = self.penalty * self.gradient_penalty(demonstrations, played)
        return losses

    def gradient_penalty(self, demonstrations: TensorDictBase, played: TensorDictBase) -> Tensor:
        """E (‖∇ score‖ - 1)² between demonstrations and own steps (Gulrajani et al. 2017).

        The gradient is by the vectors that stand for states and items, never by ids, and goes into
        no embedding: between two items there is no third, but between their vectors is a line.
        """
        with torch.no_grad():
            ends = [self.inputs(side) for side in (demonstrations, played)]
        share = torch.rand(len(ends[0][0]), 1, device=ends[0][0].device)
        between = [torch.lerp(a, b, share).requires_grad_() for a, b in zip(*ends, strict=True)]
        total = self.score(self.discriminator, between).sum()
        slopes = torch.autograd.grad(total, between, create_graph=True, allow_unused=True)
        steep = torch.cat([slope for slope in slopes if slope is not None], -1).square().sum(-1)
        # The root has no derivative at 0.
        return ((steep + 1e-12).sqrt() - 1).square().mean()

    @torch.no_grad()
    def end_iteration(self, waiting: bool) -> None:
        """Move the averaged networks; while the policy waits they are the discriminator's own."""
        share = 1.0 if waiting else self.average
        pairs = zip(self.averaged.parameters(), self.discriminator.parameters(), strict=True)
        for slow, quick in pairs:
            slow.lerp_(quick, share)


class GAIL(AdversarialReward):
    """logit D(s, a), a network (Ho and Ermon 2016, with their sign of D turned round).

    At its best it is log ρ_expert(s, a) - log ρ_policy(s, a). As the learner comes close it goes to
    zero everywhere: what it says at the end of training is no reward that outlives the learner.
    """


class AIRL(AdversarialReward):
    """f(s, a, s') = g(s, a) + γ h(s') - h(s) and D = exp f / (exp f + π(a|s)) (Fu et al. 2018).

    So logit D = f - log π(a|s). g is the reward that is left in the end; f is g with shaping, which
    changes no best policy (Ng, Harada and Russell 1999). After an end the potential h is 0.

    :param discount: γ of the shaping, the learner's own.
    :param shaping: whether there is an h. Without it f = g, an advantage rather than a reward.
    :param state_only: whether g sees the state alone, as the paper's reward must to survive a
        change of the dynamics.
    :param settings: of :class:`AdversarialReward`.
    """

    reads_probability = True

    def __init__(
        self,
        discount: float = 0.99,
        shaping: bool = True,
        state_only: bool = False,
        **settings: Any,
    ) -> None:
        self.discount, self.shaping, self.state_only = discount, shaping, state_only
        super().__init__(**settings)

    def networks(self) -> nn.ModuleDict:
        """Make g, of states and items or of states alone, and h, of states."""
        if self.state_only:
            self.choice_size = 0
        made = super().networks()
        if self.shaping:
            made["potential"] = perceptron([self.state_size, *self.hidden, 1])
        return made

    def score(self, networks: nn.ModuleDict, inputs: Sequence[Tensor]) -> Tensor:
        """f, the reward with its shaping."""
        states, _, following, future = inputs
        reward = super().score(networks, inputs)
        if not self.shaping:
            return reward
        after, before = networks["potential"](following), networks["potential"](states)
        return reward + (self.discount * after * future - before).squeeze(-1)

    def logit(self, transition: TensorDictBase) -> Tensor:
        """f - log π(a|s)."""
        log_probability: Tensor = transition[Key.LOG_PROBABILITY]
        return super().logit(transition) - log_probability

    def learned(self, transition: TensorDictBase) -> Tensor:
        """The averaged g."""
        return super().score(self.averaged, self.inputs(transition))
