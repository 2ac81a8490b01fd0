"""What the modules share that play the sessions from which they learn.

Sessions are played inside the training step, so that no update sees those of an older policy than
its learner means it to.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase

from lightrec.keys import PADDING, Key
from lightrec.learners.imitation import READ, REWARD, LearnableReward
from lightrec.learners.policy_stage import PolicyStage
from lightrec.learners.transitions import CLICKED_COLUMN, SLATE, clicked_column, drawn
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.slate_law import items_at
from lightrec.simulators.rollout import UserMemory
from lightrec.trust import built


class PlayingStage(PolicyStage):
    """Trains a policy in a simulator, on the sessions that it plays there.

    An epoch begins with fresh sessions, so that one resumed at an epoch's end goes on as it would
    have. A reward that learns takes its steps first, on demonstrations and on what was just played;
    the policy then learns from what it says.

    :param num_items: number of items N.
    :param vector_size: length of the data module's item vectors.
    :param reward: learned from the data's demonstrations, and what the policy is trained on in
        place of the simulator's own reward, by which it is still judged: ``SQIL``, with a replay
        buffer, or, of the plugin lightrec-lab, ``GAIL`` and ``AIRL``.
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
        (given,) = self._template
        if given is not None and self.reward is None:
            size, data = self.policy.feature_size, self._data
            self.reward = given.fitted_to(size, data.vectors, data.slate_size)

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
            assert len(self.demonstrations)

    def on_train_epoch_start(self) -> None:
        """Begin fresh sessions, drawn after the pipeline has seeded the epoch; set the rate."""
        super().on_train_epoch_start()
        self._state = self.ground.train.reset()
        self._memory = UserMemory(self.policy.user_vectors)
        self._shown.zero_()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Give Adam over the policy's networks and the loss's numbers, and the reward's own."""
        own = None if self.reward is None else self.reward.optimizer()
        return [*super().configure_optimizers(), *([] if own is None else [own])]

    def write(self, folder: Path) -> dict[str, float]:
        """Save the policy, its encoder included, and the reward if one was learned; judge again.

        :returns: see :meth:`~lightrec.learners.policy_stage.PolicyStage.write`.
        """
        if self.reward is not None:
            self.reward.save_pretrained(folder / REWARD)
        return super().write(folder)

    @torch.no_grad()
    def _play(self, epsilon: float = 0.0) -> TensorDict:
        """Play ``steps`` steps: ``(B, T)`` transitions, the reset states nowhere among them.

        :param epsilon: with which probability to explore, for policies that are no laws.
        """
        rows = []
        if self.policy.tune:  # its way of reading histories has moved
            self._memory = UserMemory(self.policy.user_vectors)
        assert self._state is not None
        state = self.see(self._state, self._memory)
        row = self._read(state)
        for _ in range(self.settings.steps):
            columns, log_probability = self.learner.act(state, epsilon)
            slate = items_at(columns, state.get(Key.CANDIDATES, None))
            played, self._state = self.ground.train.step_and_maybe_reset(
                state.set(Key.ACTION, slate)
            )
            following = played["next"]
            state = self.see(self._state, self._memory)
            after = self._read(state)
            row.update({Key.ACTION: columns, Key.LOG_PROBABILITY: log_probability, SLATE: slate})
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

    @cached_property
    def demonstrations(self) -> TensorDictBase:
        """The data's demonstrations (R,) as the policy sees them; marked, with columns."""
        rows = self._data.demonstrations().to(self.device)
        made = self._seen(rows)
        for name in ("done", "terminated"):
            made["next", name] = rows["next", "terminated"]
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

    def _log_play(self, rows: TensorDict) -> None:
        """Log what was just played."""
        following = rows["next"]
        self._shown[rows[SLATE].flatten()] = True
        self._steps["train"] += rows.numel()
        ended = following["done"].sum().clamp_min(1)
        values = {
            "reward_per_step": following["reward"].mean(),
            "acceptance": following[Key.ACCEPTED].mean(),
            "length": (following[Key.STEP] * following["done"]).sum() / ended,
            "coverage": self._shown[PADDING + 1 :].float().mean(),
        }
        for part in self.ground.reward.nested() if self.ground.reward else ():
            values |= part.progress()
        weight = getattr(self.policy, "utility_weight", None)
        if weight is not None:
            values["utility_weight"] = weight.detach()
        self._log_means(values)
