"""The LightningModule that trains a policy on a log of what another policy has shown."""

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from lightrec.data.share import present_share
from lightrec.keys import Key
from lightrec.learners.algorithms import learners_of
from lightrec.learners.policy_stage import PolicyStage
from lightrec.learners.transitions import drawn
from lightrec.nn.stage import LAST

if TYPE_CHECKING:
    LossName = str
else:  # which the parser of recipes checks before a run
    LossName = learners_of("offline_learners")
READ_AT_ONCE = 8192
"""Transitions whose histories are read together."""


class OfflinePolicyModule(PolicyStage):
    """Trains a policy with a loss on transitions drawn from a log; it plays nothing.

    One batch of the data module is one iteration: move ``updates`` times on ``batch_size``
    transitions drawn from the log. Sessions that were cut are bootstrapped, those that ended are
    not: the log shows who left, so that no rate of leaving is a part of the discount.

    The policy of the last epoch is kept. Each epoch is judged in the data's simulator, so that one
    can look how training comes along, but a true return, which whoever has only a log does not
    know, chooses nothing.

    :param num_items: number of items N.
    :param vector_size: length of the data module's item vectors.
    :param loss: ``bc``, ``reward-weighted`` or ``iql``, see
        :mod:`lightrec.learners.algorithms`; or a plugin's, or the import path of a
        :class:`~lightrec.learners.algorithms.Learner`.
    :param n_step: steps that a transition goes over; more carry rewards back faster, and belong to
        the policy of the log.
    :param updates: optimizer steps in an iteration.
    :param batch_size: transitions of an optimizer step.
    :param tau: share by which target networks move to the learned ones after an update.
    :param learning_rate: of Adam.
    :param discount: γ of the policy's own horizon.
    :param max_gradient: norm to which gradients are clipped.
    :param settings: of :class:`~lightrec.learners.policy_stage.PolicyStage`.
    """

    monitor: ClassVar[str] = LAST
    slot: ClassVar[str] = "offline_learners"

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        loss: LossName = "iql",
        n_step: int = 1,
        updates: int = 16,
        batch_size: int = 256,
        tau: float = 0.01,
        learning_rate: float = 1e-3,
        discount: float = 0.95,
        max_gradient: float = 10.0,
        **settings: Any,
    ) -> None:
        super().__init__(num_items, vector_size, **settings)

    @property
    def _discount(self) -> float:
        return float(self.settings.discount)

    def _ended(self, following: TensorDictBase) -> Tensor:
        """Whether nothing more was to come after a step, as the log says.

        Of its cuts that at the step limit alone is the task's own.
        """
        limit = following[Key.STEP] >= self.ground.train.max_steps
        cut = following["done"] & limit & self.settings.time_aware
        return following["terminated"] | cut

    @cached_property
    def transitions(self) -> TensorDictBase:
        """The data's log (R,) as the policy sees it, each transition over ``n_step`` steps."""
        log, made = self.data.log(), []
        has_propensities = Key.LOG_PROBABILITY in log
        for rows in log.split(READ_AT_ONCE):
            row = self.seen(rows.to(self.device))
            if has_propensities:
                row[Key.LOG_PROBABILITY] = rows[Key.LOG_PROBABILITY].to(self.device)
            for name in ("reward", "done", "terminated"):
                row["next", name] = rows["next", name].to(self.device)
            made.append(row)
        # Sessions stand one after another, each with its end: one row of steps.
        return self._transitions(TensorDict.cat(made).unsqueeze(0))

    def on_fit_start(self) -> None:
        """Draw what the beginning draws before the first epoch is seeded, resumed or not."""
        super().on_fit_start()
        assert len(self.transitions)

    def training_step(self, batch: Any, batch_index: int) -> None:
        """Learn from the log."""
        outcomes, share = [], present_share()
        for _ in range(self.settings.updates):
            rows = drawn(self.transitions, self.settings.batch_size)[share.rows]
            part = len(rows) * share.world / self.settings.batch_size
            with torch.no_grad():
                rows = self._whole(rows)
            outcomes.append(self.update(self.learner.losses(rows), part=part))
            self.learner.follow_up()
        self.log_means(*outcomes)
