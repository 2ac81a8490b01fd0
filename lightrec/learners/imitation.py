"""Rewards that learn from demonstrations, and the stage that trains policies on them.

The stage lets the reward take its steps first, on demonstrations and on what was just played; the
policy then learns from what the reward says. See :mod:`lightrec.learners.adversarial` for rewards
that a discriminator gives.
"""

import copy
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from lightrec.keys import Key
from lightrec.learners.stage import PolicyStage
from lightrec.learners.transitions import CLICKED_COLUMN, FEATURES, SLATE, clicked_column, drawn
from lightrec.nn.part import Part
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.slate_law import columns_at
from lightrec.rewards.base import Reward
from lightrec.trust import built

DEMONSTRATED = "demonstrated"
"""Key that marks, by 1, the demonstrations among the transitions of a batch, (..., 1) float32."""
READ = (
    *(FEATURES, Key.LOG_PROBABILITY, Key.ABSORBING, DEMONSTRATED),
    *(("next", key) for key in (FEATURES, Key.ABSORBING, "terminated")),
)
"""What rewards that learn read of transitions, next to the items shown."""
REWARD = "reward"
"""Where a reward that was learned is left, below the policy's folder."""


class LearnableReward(Reward, Part):
    """A reward that learns while a policy learns from it.

    Transitions hold ``features`` of a state, ``action``, the items shown, and ``action_log_prob``
    under the present policy at the root, and ``features`` and ``terminated`` under ``next``;
    ``absorbing`` on both sides where endings are played on, see
    :mod:`lightrec.simulators.modes`.

    :param updates: optimizer steps of the reward in an iteration of the policy's.
    :param batch_size: transitions of either side in such a step.
    :param learning_rate: of AdamW, for the reward.
    :param weight_decay: of AdamW, for the reward.
    :param cloning: optimizer steps, before all else, in which the policy is fitted to the
        demonstrations by likelihood. From there the reward has less to find.
    :param warm_up: first iterations in which only the reward learns.
    """

    reads_probability: ClassVar[bool] = False
    """Whether the present policy's probability of what was shown is read."""
    needs_replay: ClassVar[bool] = False
    """Whether the policy learns from demonstrations as from its own steps, half and half, which
    only learners from a replay buffer can."""

    def __init__(
        self,
        updates: int = 8,
        batch_size: int = 1024,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        cloning: int = 0,
        warm_up: int = 0,
    ) -> None:
        super().__init__()
        self.updates, self.batch_size = updates, batch_size
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.cloning, self.warm_up = cloning, warm_up

    def fitted_to(self, feature_size: int, vectors: Tensor, slate_size: int) -> Self:
        """Give a new reward with the same settings for states and items of a size.

        :param feature_size: length S of a state's features.
        :param vectors: (N + 1, D) float32 item vectors; row 0 is ignored.
        :param slate_size: items K shown in a step.
        """
        return copy.deepcopy(self)

    def optimizer(self) -> torch.optim.Optimizer | None:
        """Give the optimizer of the reward's own weights; None where nothing is learned."""
        learned = [parameter for parameter in self.parameters() if parameter.requires_grad]
        if not learned:
            return None
        return torch.optim.AdamW(learned, self.learning_rate, weight_decay=self.weight_decay)

    def losses(self, demonstrations: TensorDictBase, played: TensorDictBase) -> dict[str, Tensor]:
        """Give what starts with ``loss``, to be stepped on, and what is looked at.

        :param demonstrations: (R,) transitions of the expert.
        :param played: (R,) transitions of the present policy.
        """
        return {}

    def end_iteration(self, waiting: bool) -> None:
        """Do what is done once an iteration, after the reward's steps.

        :param waiting: whether the policy does not learn yet.
        """


class SQIL(LearnableReward):
    """1 for what the expert did, 0 for the learner's own steps (Reddy, Dragan and Levine 2020).

    No reward is learned: learners from a replay buffer, best ``soft-q``, learn from halves of
    demonstrations and of what was ever played. Constant rewards of one sign: sessions must have one
    length, or absorbing states.

    :param cloning: see :class:`LearnableReward`.
    """

    needs_replay = True

    def __init__(self, cloning: int = 0) -> None:
        super().__init__(updates=0, cloning=cloning)

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (..., 1)."""
        marked: Tensor | None = transition.get(DEMONSTRATED, None)
        if marked is None:
            return torch.zeros_like(transition["next", "terminated"], dtype=torch.float32)
        return marked


class ImitatingStage(PolicyStage):
    """Trains a policy on the simulator's reward, or on one that learns from demonstrations.

    :param num_items: number of items N.
    :param vector_size: length of the data module's item vectors.
    :param loss_settings: of the loss, such as ``clip_epsilon`` and ``entropy_coeff`` of ``ppo``.
    :param critic_hidden: widths of the critic's hidden layers.
    :param final_rate: part of the learning rate that is left in the last epoch.
    :param time_aware: whether the simulator's own cuts, at its step limit or where nothing is left
        to show, end the task, as where returns are counted up to there and the policy sees the time
        (Pardo et al. 2018, "Time limits in reinforcement learning").
    :param reward_scale: what rewards are multiplied by, so that returns are of order 1 to 10.
    :param validation_seed: seed of the judging sessions.
    :param reward: learned from the data's demonstrations, and what the policy is trained on in
        place of the simulator's own reward, by which it is still judged: ``GAIL``, ``AIRL`` or,
        with a replay buffer, ``SQIL``.
    """

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        loss_settings: dict[str, float | bool | int | str] | None = None,
        critic_hidden: tuple[int, ...] = (64,),
        final_rate: float = 1.0,
        time_aware: bool = False,
        reward_scale: float = 1.0,
        validation_seed: int = 0,
        reward: LearnableReward | None = None,
    ) -> None:
        super().__init__(num_items, vector_size)
        self.save_hyperparameters(ignore=["reward"])
        # In a tuple, which hides it: what is made of it is a part of the module.
        self._template = (reward,)
        self.reward: LearnableReward | None = None

    def setup(self, stage: str) -> None:
        """Build the policy and the reward on the data's vectors, where no checkpoint has done so.

        :raises RecipeError: where several processes are to train it.
        """
        super().setup(stage)
        (given,) = self._template
        if given is not None and self.reward is None:
            vectors, size = self._data.vectors, self._data.slate_size
            self.reward = given.fitted_to(self.policy.feature_size, vectors, size)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note how the reward is built, next to what every policy's stage keeps."""
        super().on_save_checkpoint(checkpoint)
        if self.reward is not None:
            checkpoint["learned_reward"] = self.reward.description

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the parts that the weights belong to, and take back the rest."""
        super().on_load_checkpoint(checkpoint)
        if self.reward is None and "learned_reward" in checkpoint:
            self.reward = built(checkpoint["learned_reward"], LearnableReward)

    def on_fit_start(self) -> None:
        """Draw what the beginning draws before the first epoch is seeded, resumed or not."""
        super().on_fit_start()
        if self.reward is not None:
            assert len(self.demonstrations)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Give the policy's optimizer, and the reward's own."""
        own = None if self.reward is None else self.reward.optimizer()
        found = super().configure_optimizers()
        return found if own is None else [*found, own]

    @cached_property
    def demonstrations(self) -> TensorDictBase:
        """The data's demonstrations (R,) as the policy sees them; marked, with columns."""
        rows = self._data.demonstrations().to(self.device)
        slate, following = rows[Key.ACTION], rows["next"]
        with torch.no_grad():
            made = self._read(self.see(rows))
            made["next"] = self._read(self.see(following))
        made[SLATE], made[Key.ACTION] = slate, columns_at(slate, rows.get(Key.CANDIDATES, None))
        taken = following.get(Key.TAKEN, torch.zeros_like(slate, dtype=torch.bool))
        made[CLICKED_COLUMN] = clicked_column(made[Key.ACTION], taken)
        for name in ("done", "terminated"):
            made["next", name] = following["terminated"]
        return made

    def _law(self, rows: TensorDictBase) -> PlackettLuce:
        """Give the present policy's law of the slates of transitions (R,), over columns."""
        return self.policy.columns(self._with_masks(rows), rows[SLATE].shape[-1])

    @torch.no_grad()
    def _for_reward(self, rows: TensorDictBase, own: bool = False) -> TensorDictBase:
        """Give transitions (R,) as rewards see them: items, and the policy's own probability.

        :param own: whether the present policy played them, so that its probability is there.
        """
        found = rows.select(*READ, strict=False).set(Key.ACTION, rows[SLATE])
        if not own and self.reward is not None and self.reward.reads_probability:
            found[Key.LOG_PROBABILITY] = self._law(rows.copy()).log_prob(rows[Key.ACTION])
        return found

    def _imitate(self, played: TensorDict, batch_index: int) -> bool:
        """Let the reward take its steps, and put what it says in the place of the simulator's own.

        :returns: whether the policy learns from it already.
        """
        reward = self.reward
        if reward is None:
            return True
        iteration = self.current_epoch * int(self.trainer.num_training_batches) + batch_index
        if iteration == 0 and reward.cloning:
            for _ in range(reward.cloning):
                rows = drawn(self.demonstrations, reward.batch_size)
                likelihood = self._law(rows).log_prob(rows[Key.ACTION]).mean()
                outcome = self._update({"loss_cloning": -likelihood})
            self._log_means(outcome)
            return False  # what was played is no longer this policy's
        own = self._for_reward(played.flatten(), own=True)
        size, outcomes = min(reward.batch_size, len(own)), []
        for _ in range(reward.updates):
            expert = self._for_reward(drawn(self.demonstrations, size))
            outcomes.append(self._update(reward.losses(expert, drawn(own, size)), 1))
        waiting = iteration < reward.warm_up + bool(reward.cloning)
        reward.end_iteration(waiting)
        self._log_means(*outcomes)
        played["next", "reward"] = reward(own).unflatten(0, played.batch_size)
        return not waiting

    def write(self, folder: Path) -> dict[str, float]:
        """Save the policy, and the reward if one was learned, and judge once more."""
        if self.reward is not None:  # before judging, which takes the module back to its device
            self.reward.save_pretrained(folder / REWARD)
        return super().write(folder)
