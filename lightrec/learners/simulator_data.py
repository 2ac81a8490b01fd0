"""The base of the data of policies: a simulator to train in, one to judge in, a log."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from tensordict import TensorDict
from torch import Tensor
from torch.utils.data import DataLoader

from lightrec.data.stage_data import StageData
from lightrec.errors import RecipeError
from lightrec.policies.base import LearnedPolicy, Policy, RunParts
from lightrec.rewards.base import Reward
from lightrec.simulators.base import Simulator

PolicySlot = Callable[[RunParts], LearnedPolicy]
"""A class of policies, with settings of its ``from_run``, as a recipe names them."""


@dataclass
class Playground:
    """The simulators of a training."""

    train: Simulator
    judging: Simulator
    users: Tensor
    """(M,) int64: the users of the judging sessions."""
    reward: Reward | None = None
    """What is trained on where it has a state of its own, which checkpoints keep."""
    continuation_probability: float = 1.0
    """Probability of going on after a step where that is a part of the learner's discount; then
    the simulator's own ends are only cuts."""


class SimulatorData(StageData):
    """A LightningDataModule that gives simulators and the policy that is to learn in them.

    Batches are only numbers: the module plays its own sessions, one batch being one iteration.

    :param iterations: iterations of an epoch.
    """

    iterations: int
    slate_size: int
    """Items shown in a step."""

    @abstractmethod
    def playground(self, sessions: int, discount: float, device: torch.device) -> Playground:
        """Make the simulators.

        :param sessions: sessions played side by side in training.
        :param discount: γ of the learner, which shaped rewards weigh the next step by.
        """

    @abstractmethod
    def make_policy(self) -> LearnedPolicy:
        """Make the untrained policy.

        :raises RecipeError: where it has no such setting as it is given.
        """

    def rivals(self) -> dict[str, Policy]:
        """Policies that show whether a reward is fit to learn from; none by default.

        :returns: the policy as it began, ``beginning``, and ``random`` and ``popularity``.
        """
        return {}

    def log(self) -> TensorDict:
        """The transitions that learners offline learn from, and nothing else.

        :returns: (R,) transitions, whole sessions one after another: a simulator's state, the
            items shown at ``action`` and, where it is known, the logarithm of their probability at
            the root; under ``next`` the state that followed, ``reward``, ``done`` and
            ``terminated``. The last transition of a session is done.
        :raises RecipeError: where there is no log.
        """
        raise RecipeError(
            f"The policy is learned from a log, and {type(self).__name__} has none. Take WorldData "
            "and name under behavior who makes it."
        )

    def train_dataloader(self) -> DataLoader[int]:
        """Count the iterations of an epoch."""
        return count(self.iterations)

    def val_dataloader(self) -> DataLoader[int]:
        """One judging an epoch."""
        return count(1)


def count(number: int) -> DataLoader[int]:
    """The numbers of the iterations of an epoch."""
    # A generator of its own: a DataLoader that begins draws from torch's global one otherwise, and
    # a resumed run begins its loaders at other moments than an unbroken one.
    return DataLoader(range(number), batch_size=None, generator=torch.Generator())  # type: ignore[arg-type]
