"""The learner of soft Q imitation learning: no reward is learned, demonstrations are one."""

import copy
from collections.abc import Iterator, Sequence

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer

from lightrec.keys import Key
from lightrec.learners.imitation.features import Features
from lightrec.learners.imitation.learners import Actor, ImitationLearner, Losses, draw
from lightrec.learners.imitation.sqil_targets import soft_q_loss


class SQILLearner(ImitationLearner):
    """Soft Q-learning with reward 1 for demonstrations and 0 for the learner's own steps.

    :param features: what is seen of states and choices.
    :param hidden: widths of the hidden layers.
    :param discount: γ.
    :param temperature: τ of the policy ∝ exp(Q / τ).
    :param capacity: own transitions that are kept.
    :param batch_size: transitions of either side in a step.
    :param steps: steps in an iteration.
    :param tau: share by which the target network moves to the learned one in a step.
    """

    def __init__(
        self,
        features: Features,
        *,
        hidden: Sequence[int] = (64, 64),
        discount: float = 0.95,
        temperature: float = 0.1,
        capacity: int = 50_000,
        batch_size: int = 256,
        steps: int = 32,
        tau: float = 0.01,
    ) -> None:
        super().__init__(features)
        self.actor = Actor(copy.deepcopy(features), hidden)
        self.target = copy.deepcopy(self.actor).requires_grad_(False)
        self.discount, self.temperature = discount, temperature
        self.batch_size, self.steps, self.tau = batch_size, steps, tau
        self.memory = TensorDictReplayBuffer(
            storage=LazyTensorStorage(capacity, device="auto"), batch_size=batch_size
        )

    def logits(self, state: TensorDictBase) -> Tensor:
        """Give Q / τ."""
        return self.actor.logits(state) / self.temperature

    def updates(self, rollout: TensorDict, demonstrations: TensorDict) -> Iterator[Losses]:
        """Move Q on halves of demonstrations and of what was ever played."""
        keep: list[str | tuple[str, str]] = [*self.keys, Key.ACTION]
        keep += [("next", key) for key in (*self.keys, "terminated")]
        self.memory.extend(rollout.flatten().select(*keep))
        shown = demonstrations.select(*keep)
        for _ in range(self.steps):
            own = self.memory.sample().select(*keep)
            batch = TensorDict.cat([draw(shown, self.batch_size), own])
            reward = (torch.arange(len(batch), device=batch.device) < self.batch_size).float()
            values = self.actor.logits(batch)
            yield {
                "loss_q": soft_q_loss(
                    values,
                    batch[Key.ACTION],
                    reward,
                    self.target.logits(batch["next"]),
                    batch["next", "terminated"].squeeze(-1),
                    discount=self.discount,
                    temperature=self.temperature,
                ),
                "q": values.detach().mean(),
            }
            with torch.no_grad():
                pairs = zip(self.target.parameters(), self.actor.parameters(), strict=True)
                for slow, quick in pairs:
                    slow.lerp_(quick, self.tau)
