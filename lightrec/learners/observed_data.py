"""The base of what gives simulators that are made by name and settings, with no log behind them."""

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from lightrec.learners.playground import Playground, PolicySetting, SimulatorData, made
from lightrec.policies.tower import TowerPolicy
from lightrec.simulators.base import Simulator


class ObservedData(SimulatorData):
    """A policy of two towers learns in a simulator that tells observations.

    :param iterations: iterations of an epoch.
    :param judging: sessions on which epochs are judged.
    """

    def __init__(self, iterations: int, judging: int) -> None:
        super().__init__()
        self.iterations, self.judging = iterations, judging

    @abstractmethod
    def make(self, sessions: int, device: torch.device | str = "cpu") -> Simulator:
        """Make the simulator with so many sessions."""

    @property
    @abstractmethod
    def observation_size(self) -> int:
        """Length of the observations; 0 for none."""

    @cached_property
    def single(self) -> Simulator:
        """The simulator with one session, to be asked what it is."""
        return self.make(1)

    @property
    def slate_size(self) -> int:
        """Items shown in a step."""
        return self.single.slate_size

    @property
    def num_items(self) -> int:
        """Number of items N."""
        return self.single.num_items

    @property
    def vector_size(self) -> int:
        """Length of the item vectors."""
        return self.vectors.shape[1]

    @property
    def meanings(self) -> Tensor | None:
        """(N + 1, M) what item vectors are read for, see ``TowerPolicy``; None: as they are."""
        return None

    def make_policy(self, settings: Mapping[str, PolicySetting]) -> TowerPolicy:
        """Make an untrained policy, for what the simulator lets policies see."""
        meanings = self.meanings
        policy = made(
            TowerPolicy,
            {"horizon": self.single.max_steps, **settings},
            num_items=self.num_items,
            vector_size=self.vector_size,
            observation_size=self.observation_size,
            meaning_size=0 if meanings is None else meanings.shape[1],
        )
        return policy.set_items(self.vectors, meanings)

    def playground(self, sessions: int, discount: float, device: torch.device) -> Playground:
        """Make what is trained in, and that in which epochs are judged."""
        users = torch.arange(self.judging)
        return Playground(self.make(sessions, device), self.make(self.judging, device), users)
