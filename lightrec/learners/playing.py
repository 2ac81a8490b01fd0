"""The base of the modules that play the sessions from which they learn.

Sessions are played inside the training step, so that no update sees those of an older policy than
its learner means it to.
"""

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from lightrec.blame import provider
from lightrec.data.share import of_all, rows_among, summed
from lightrec.errors import PluginError
from lightrec.keys import PADDING, Key
from lightrec.learners.policy_stage import PolicyStage
from lightrec.learners.transitions import CLICKED_COLUMN, SLATE, clicked_column
from lightrec.nn.part import Part
from lightrec.nn.slate_law import items_at
from lightrec.rewards.base import Reward
from lightrec.simulators.rollout import UserMemory
from lightrec.trust import built

REWARD = "reward"
"""Where a reward that was learned is left, below the policy's folder."""


class LearnableReward(Reward, Part):
    """A reward that learns while a policy learns from it; lightrec-lab has some."""

    needs_replay: ClassVar[bool] = False
    """Whether the policy learns from demonstrations as from its own steps, half and half, which
    only learners from a replay buffer can."""

    @abstractmethod
    def fitted_to(self, feature_size: int, vectors: Tensor, slate_size: int) -> Self:
        """Make a new reward with the same settings for states and items of a size.

        :param feature_size: length S of a state's features.
        :param vectors: (N + 1, D) float32 item vectors; row 0 is ignored.
        :param slate_size: items K shown in a step.
        """

    def optimizer(self) -> torch.optim.Optimizer | None:
        """Make the optimizer of the reward's own weights; None where nothing is learned."""
        return None

    @abstractmethod
    def begin(self, stage: "PlayingStage") -> None:
        """Get ready before the first epoch is seeded, resumed or not."""

    @abstractmethod
    def teach(self, stage: "PlayingStage", played: TensorDict, batch_index: int) -> bool:
        """Learn from what was just played, and put what is said now in the place of its reward.

        :param stage: the training, whose second optimizer is :meth:`optimizer`'s.
        :param played: (B, T) transitions, to be changed.
        :returns: whether the policy learns from them already.
        """


class PlayingStage(PolicyStage):
    """Trains a policy in a simulator, on the sessions that it plays there.

    An epoch begins with fresh sessions, so that one resumed at an epoch's end continues as it would
    have. A reward that learns takes its steps first, on demonstrations and on what was just played;
    the policy then learns from what it says.

    :param num_items: number of items N.
    :param vector_size: length of the data module's item vectors.
    :param reward: learned from the data's demonstrations, and what the policy is trained on in
        place of the simulator's own reward, by which it is still judged: ``GAIL`` and ``AIRL``, or
        with a replay buffer ``SQIL``, all of the package lightrec-lab.
    :param settings: of :class:`~lightrec.learners.policy_stage.PolicyStage`.
    """

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        reward: LearnableReward | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(num_items, vector_size, **settings)
        # In a tuple, which hides it: what is made of it is a part of the module.
        self._template = (reward,)
        self.reward: LearnableReward | None = None
        self._state: TensorDictBase | None = None
        self._shown = torch.zeros(num_items + 1, dtype=torch.bool)

    def setup(self, stage: str) -> None:
        """Build the policy and the reward on the data's vectors, where no checkpoint has done so.

        :raises RecipeError: where several processes are to train it.
        """
        super().setup(stage)
        (template,) = self._template
        if template is not None and self.reward is None:
            size, data = self.policy.feature_size, self.data
            self.reward = template.fitted_to(size, data.vectors, data.slate_size)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep how the reward is built, beside what every policy's module keeps."""
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
        self._shown = self._shown.to(self.device)
        if self.reward is not None:
            self.reward.begin(self)

    def on_train_epoch_start(self) -> None:
        """Begin fresh sessions, drawn after the pipeline has seeded the epoch; set the rate."""
        super().on_train_epoch_start()
        self._state = self.ground.train.reset()
        self._memory = UserMemory(self.policy.user_vectors)
        self._shown.zero_()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam over the policy's networks and the loss's numbers, and the reward's own."""
        of_reward = None if self.reward is None else self.reward.optimizer()
        return [*super().configure_optimizers(), *([] if of_reward is None else [of_reward])]

    def write(self, folder: Path) -> dict[str, float]:
        """Save the policy, its encoder included, and the reward if one was learned; judge again.

        :returns: see :meth:`~lightrec.learners.policy_stage.PolicyStage.write`.
        """
        if self.reward is not None:
            self.reward.save_pretrained(folder / REWARD)
        return super().write(folder)

    @property
    def alone(self) -> str | None:
        """Why one process alone may train it: a reward learns from all sessions of an iteration."""
        (reward,) = self._template
        if reward is None:
            return super().alone
        return f"{type(reward).__name__} learns in one process"

    @torch.no_grad()
    def _play(self) -> TensorDict:
        """Play ``steps`` steps: ``(B, T)`` transitions, the reset states nowhere among them."""
        rows = []
        if self.policy.tune:  # its way of reading histories has moved
            self._memory = UserMemory(self.policy.user_vectors)
        assert self._state is not None
        state = self.see(self._state, self._memory)
        row, share = self._read(state), self.ground.train.share
        own = torch.arange(self.settings.sessions)[share.rows]
        for _ in range(self.settings.steps):
            law = self.learner.law(state)
            with rows_among(self.settings.sessions, own):
                columns = law.sample()
            slate = items_at(columns, state.get(Key.CANDIDATES, None))
            played, self._state = self.ground.train.step_and_maybe_reset(
                state.set(Key.ACTION, slate)
            )
            following = played["next"]
            state = self.see(self._state, self._memory)
            after = self._read(state)
            row.update({Key.ACTION: columns, SLATE: slate})
            row[Key.LOG_PROBABILITY] = law.log_prob(columns)
            row[CLICKED_COLUMN] = clicked_column(columns, following[Key.TAKEN])
            row["next"] = after.copy()
            over = following["done"].squeeze(1).nonzero().squeeze(1)
            if len(over):  # what followed there is not what a reset has put in its place
                last = self._read(self.see(following[over]))
                row["next"] = after.apply(lambda a, b, over=over: a.index_copy(0, over, b), last)
            for name in ("reward", "done", "terminated", Key.ACCEPTED):
                row["next", name] = following[name]
            rows.append(row)
            row = after.copy()
        return TensorDict.stack(rows, 1)

    def _teach(self, played: TensorDict, batch_index: int) -> bool:
        """Let the reward learn, if one does; tell whether the policy learns from the steps already.

        :raises PluginError: where the reward does not tell.
        """
        learns = self.reward is None or self.reward.teach(self, played, batch_index)
        if not isinstance(learns, bool):
            raise PluginError(
                f"`teach` of {provider(self.reward)} gave {learns!r:.80}; expected is True "
                "or False: whether the policy learns from the steps already."
            )
        return learns

    def _log_play(self, rows: TensorDict) -> None:
        """Log what was just played.

        :raises PluginError: where processes have not drawn the same numbers.
        """
        marks = of_all(torch.get_rng_state().long().sum().view(1).to(self.device))
        if (marks != marks[0]).any():
            raise PluginError(
                f"{provider(self.ground.train)} or the policy has drawn from torch's generator, so "
                "that the processes of this training no longer draw the same numbers. Let all "
                "chance follow from the key `session`, or set trainer.devices to 1."
            )
        following = rows["next"]
        shown = torch.zeros_like(self._shown, dtype=torch.float32)
        shown[rows[SLATE].flatten()] = 1.0
        self._shown |= summed(shown) > 0
        self._steps["train"] += self.settings.sessions * self.settings.steps
        ended, steps = (
            summed(total)
            for total in (following["done"].sum(), (following[Key.STEP] * following["done"]).sum())
        )
        values = {
            "reward_per_step": following["reward"].mean(),
            "acceptance": following[Key.ACCEPTED].mean(),
            "length": steps / ended.clamp_min(1),
            "coverage": self._shown[PADDING + 1 :].float().mean(),
        }
        for part in self.ground.reward.nested() if self.ground.reward else ():
            values |= part.progress()
        weight = getattr(self.policy, "utility_weight", None)
        if weight is not None:
            values["utility_weight"] = weight.detach()
        self.log_means(values)
