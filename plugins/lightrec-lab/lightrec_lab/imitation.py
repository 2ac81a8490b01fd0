"""Rewards that learn from demonstrations while a policy learns from them.

:mod:`lightrec_lab.adversarial` has those that a discriminator gives.
"""

import copy
from typing import Any, ClassVar, Self

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from lightrec.api import Key, RecipeError
from lightrec.learners.playing import LearnableReward, PlayingStage
from lightrec.learners.transitions import FEATURES, SLATE, drawn
from lightrec.nn.plackett_luce import PlackettLuce

DEMONSTRATED = "demonstrated"
"""Key that marks, by 1, the demonstrations among the transitions of a batch, (..., 1) float32."""
READ = (
    *(FEATURES, Key.LOG_PROBABILITY, Key.ABSORBING, DEMONSTRATED),
    *(("next", key) for key in (FEATURES, Key.ABSORBING, "terminated")),
)
"""Keys of transitions that rewards that learn read, next to the items shown."""


class ImitationReward(LearnableReward):
    """A reward that learns from demonstrations, in iterations of the policy's.

    Transitions hold ``features`` of a state, ``action``, the items shown, and ``action_log_prob``
    under the present policy at the root, and ``features`` and ``terminated`` under ``next``;
    ``absorbing`` on both sides where endings are played on, see
    :class:`~lightrec.simulators.base.Simulator`.

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
    demonstrations: TensorDictBase
    """(R,) the data's, as the policy sees them; with columns."""

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
        """Make a new reward with the same settings, whatever the sizes."""
        return copy.deepcopy(self)

    def optimizer(self) -> torch.optim.Optimizer | None:
        """Make AdamW over the reward's own weights; None where nothing is learned."""
        learned = [parameter for parameter in self.parameters() if parameter.requires_grad]
        if not learned:
            return None
        return torch.optim.AdamW(learned, self.learning_rate, weight_decay=self.weight_decay)

    def begin(self, stage: PlayingStage) -> None:
        """Look at the demonstrations as the policy sees them.

        :raises RecipeError: where the data has none.
        """
        demonstrate = getattr(stage.data, "demonstrations", None)
        if demonstrate is None:
            raise RecipeError(
                f"The reward learns from demonstrations, and {type(stage.data).__name__} has none. "
                "Take WorldData and name who demonstrates under demonstrations."
            )
        rows = demonstrate().to(stage.device)
        self.demonstrations = stage.seen(rows)
        for name in ("done", "terminated"):
            self.demonstrations["next", name] = rows["next", "terminated"]

    def teach(self, stage: PlayingStage, played: TensorDict, batch_index: int) -> bool:
        """Take the iteration's steps, and say what was just played is worth now."""
        iteration = stage.current_epoch * int(stage.trainer.num_training_batches) + batch_index
        if iteration == 0 and self.cloning:
            for _ in range(self.cloning):
                rows = drawn(self.demonstrations, self.batch_size)
                likelihood = law_of(stage, rows).log_prob(rows[Key.ACTION]).mean()
                outcome = stage.update({"loss_cloning": -likelihood})
            stage.log_means(outcome)
            return False  # what was played is no longer this policy's
        steps = self.seen(stage, played.flatten(), played=True)
        size, outcomes = min(self.batch_size, len(steps)), []
        for _ in range(self.updates):
            expert = self.seen(stage, drawn(self.demonstrations, size))
            outcomes.append(stage.update(self.losses(expert, drawn(steps, size)), 1))
        waiting = iteration < self.warm_up + bool(self.cloning)
        self.end_iteration(waiting)
        stage.log_means(*outcomes)
        played["next", "reward"] = self(steps).unflatten(0, played.batch_size)
        return not waiting

    @torch.no_grad()
    def seen(self, stage: PlayingStage, rows: TensorDictBase, played: bool = False) -> Any:
        """Transitions (R,) as rewards see them: items, and the policy's own probability.

        :param played: whether the present policy played them, so that its probability is there.
        """
        rows_seen = rows.select(*READ, strict=False).set(Key.ACTION, rows[SLATE])
        if not played and self.reads_probability:
            law = law_of(stage, rows.copy())
            rows_seen[Key.LOG_PROBABILITY] = law.log_prob(rows[Key.ACTION])
        return rows_seen

    def losses(self, demonstrations: TensorDictBase, played: TensorDictBase) -> dict[str, Tensor]:
        """Losses, whose names start with ``loss``, and numbers to look at.

        :param demonstrations: (R,) transitions of the expert.
        :param played: (R,) transitions of the present policy.
        """
        return {}

    def end_iteration(self, waiting: bool) -> None:
        """Do what is done once an iteration, after the reward's steps.

        :param waiting: whether the policy does not learn yet.
        """


class SQIL(ImitationReward):
    """1 for what the expert did, 0 for the learner's own steps (Reddy, Dragan and Levine 2020).

    No reward is learned: learners from a replay buffer, best ``soft-q``, learn from halves of
    demonstrations and of what was ever played. Constant rewards of one sign: sessions must have one
    length, or absorbing states.

    :param cloning: see :class:`ImitationReward`.
    """

    needs_replay = True

    def __init__(self, cloning: int = 0) -> None:
        super().__init__(updates=0, cloning=cloning)

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (..., 1)."""
        unmarked = torch.zeros_like(transition["next", "terminated"], dtype=torch.float32)
        return transition.get(DEMONSTRATED, unmarked)


def law_of(stage: PlayingStage, rows: TensorDictBase) -> PlackettLuce:
    """The present policy's law of the slates of transitions (R,), over columns."""
    return stage.policy.columns(stage.with_masks(rows), rows[SLATE].shape[-1])
