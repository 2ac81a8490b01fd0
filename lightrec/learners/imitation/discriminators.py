"""Discriminators: networks that tell demonstrations from what the learner did.

Every logit here is high where a transition looks like the expert's: D = sigmoid(logit) is the
probability that a demonstration is seen. Transitions are TensorDicts in TorchRL's form: a state's
keys and ``action`` at the root, the next state's keys and ``terminated`` under ``next``.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn

from lightrec.keys import Key
from lightrec.learners.imitation.features import Features
from lightrec.learners.imitation.networks import ChoiceScore, perceptron


class Discriminator(nn.Module, ABC):
    """A score of transitions, in two steps: vectors of a batch, and the score of the vectors.

    :param features: makes the vectors; learned embeddings in it are learned too.
    """

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.features = features

    @abstractmethod
    def inputs(self, batch: TensorDictBase) -> tuple[Tensor, ...]:
        """Give the vectors ``(..., any)`` of transitions that the score is a function of."""

    @abstractmethod
    def score(self, *inputs: Tensor) -> Tensor:
        """Score vectors: ``(...)``, high for the expert."""

    def logit(self, batch: TensorDictBase) -> Tensor:
        """Give ``(...)``, the log-odds that transitions are the expert's."""
        return self.score(*self.inputs(batch))

    @abstractmethod
    def reward(self, batch: TensorDictBase) -> Tensor:
        """Give the reward ``(...)`` that is judged, without shaping and normalisation."""


class GAILDiscriminator(Discriminator):
    """logit D(s, a), a network (Ho and Ermon 2016, with their sign of D turned round).

    At its best it is log ρ_expert(s, a) - log ρ_policy(s, a). As the learner comes close it goes to
    zero everywhere: what it says at the end of training is no reward that outlives the learner.

    :param features: makes the vectors.
    :param hidden: widths of the hidden layers.
    :param spectral: whether layers are normalised by their largest singular value.
    """

    def __init__(
        self, features: Features, hidden: Sequence[int] = (32, 32), spectral: bool = False
    ) -> None:
        super().__init__(features)
        self.network = ChoiceScore(features.state_size, features.choice_size, hidden, spectral)

    def inputs(self, batch: TensorDictBase) -> tuple[Tensor, ...]:
        """Give states and choices taken."""
        return self.features.states(batch), self.features.chosen(batch)

    def score(self, *inputs: Tensor) -> Tensor:
        """Give the logit."""
        states, chosen = inputs
        score: Tensor = self.network(states, chosen.unsqueeze(-2)).squeeze(-1)
        return score

    def reward(self, batch: TensorDictBase) -> Tensor:
        """Give the logit, which is all that there is."""
        return self.logit(batch)


class AIRLDiscriminator(Discriminator):
    """f(s, a, s') = g(s, a) + γ h(s') - h(s) and D = exp f / (exp f + π(a|s)) (Fu et al. 2018).

    So logit D = f - log π(a|s). Batches must bring ``action_log_prob``, the log-probability of
    their actions under the *learner's* present policy, demonstrations too. g is the reward that is
    judged; f is g with shaping, which changes no best policy (Ng, Harada and Russell 1999). After
    an end (``terminated``) the potential h is 0.

    :param features: makes the vectors.
    :param hidden: widths of the hidden layers.
    :param spectral: whether layers are normalised by their largest singular value.
    :param discount: γ of the shaping, the learner's own.
    :param shaping: whether there is an h. Without it f = g, an advantage rather than a reward.
    :param state_only: whether g sees the state alone, as the paper's reward must to survive a
        change of the dynamics.
    :param anchored: give the choice that the features mark as known the reward 0. Where the next
        state follows from state and action, g and the shaping cannot be told apart without it.
    """

    def __init__(
        self,
        features: Features,
        hidden: Sequence[int] = (32, 32),
        spectral: bool = False,
        *,
        discount: float = 0.99,
        shaping: bool = True,
        state_only: bool = False,
        anchored: bool = False,
    ) -> None:
        super().__init__(features)
        self.discount = discount
        self.state_only = state_only
        self.anchor = features.anchor if anchored else None
        size = features.state_size
        self.state_reward = perceptron([size, *hidden, 1], spectral) if state_only else None
        self.choice_reward = (
            None if state_only else ChoiceScore(size, features.choice_size, hidden, spectral)
        )
        self.potential = perceptron([size, *hidden, 1], spectral) if shaping else None

    def inputs(self, batch: TensorDictBase) -> tuple[Tensor, ...]:
        """Give states, choices taken, next states, and whether there is a future (..., 1)."""
        following = batch["next"]
        return (
            self.features.states(batch),
            self.features.chosen(batch),
            self.features.states(following),
            (~following["terminated"]).float(),
        )

    def score(self, *inputs: Tensor) -> Tensor:
        """Give f."""
        states, chosen, following, future = inputs
        reward = self._reward(states, chosen)
        if self.potential is None:
            return reward
        after = self.potential(following) * future
        shaping: Tensor = self.discount * after - self.potential(states)
        return reward + shaping.squeeze(-1)

    def logit(self, batch: TensorDictBase) -> Tensor:
        """Give f - log π(a|s)."""
        log_probability: Tensor = batch[Key.LOG_PROBABILITY]
        return super().logit(batch) - log_probability

    def reward(self, batch: TensorDictBase) -> Tensor:
        """Give g."""
        return self._reward(self.features.states(batch), self.features.chosen(batch))

    def rewards(self, batch: TensorDictBase) -> Tensor:
        """Give g of every open choice: ``(..., C)``, minus infinity where one is not allowed."""
        states, choices = self.features.states(batch), self.features.choices(batch)
        if self.choice_reward is None:
            rewards = self._reward(states, choices).unsqueeze(-1).expand(choices.shape[:-1])
        else:
            rewards = self._anchored(self.choice_reward(states, choices), choices)
        allowed = self.features.allowed(batch)
        return rewards if allowed is None else rewards.masked_fill(~allowed, -torch.inf)

    def _reward(self, states: Tensor, chosen: Tensor) -> Tensor:
        if self.state_reward is not None:
            reward: Tensor = self.state_reward(states).squeeze(-1)
        else:
            assert self.choice_reward is not None
            reward = self.choice_reward(states, chosen.unsqueeze(-2)).squeeze(-1)
            reward = self._anchored(reward, chosen)
        return reward

    def _anchored(self, reward: Tensor, choices: Tensor) -> Tensor:
        return reward if self.anchor is None else reward * (1 - choices[..., self.anchor])
