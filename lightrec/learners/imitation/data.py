"""What imitation works with: a simulator, demonstrations, and what is seen of states."""

from functools import cached_property
from typing import Protocol

import lightning.pytorch as pl
import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torch.utils.data import DataLoader

from lightrec.errors import DataError
from lightrec.keys import Key
from lightrec.learners.imitation.demonstrations import demonstrate
from lightrec.learners.imitation.features import Features
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.simulators.session_env import SessionEnv
from lightrec.trust import PlainCheckpoint


class MakeWorld(Protocol):
    """Makes simulators, such as a simulator's class whose other settings have defaults."""

    def __call__(self, batch_size: int, /, *, device: torch.device | str = "cpu") -> SessionEnv:
        """Make a simulator of so many sessions, which computes on a device."""


class ImitationData(PlainCheckpoint, pl.LightningDataModule):
    """Demonstrations beside the simulator in which they are imitated.

    Batches are only numbers: the module plays its own sessions, one batch being one iteration.

    :param make_world: from a number of sessions B, and a device, to a simulator of them.
    :param features: what is seen of its states and choices.
    :param demonstrations: ``(N,)`` or ``(E, T)`` transitions: the features' keys and ``action``
        (..., 1) int64 at the root, the keys and ``terminated`` (..., 1) bool under ``next``.
    :param iterations: iterations of an epoch.
    :param judging: sessions on which epochs are judged, from beginning to end.
    :param control: put the transitions of a policy that acts evenly at random in the place of the
        demonstrations: whatever a learner still achieves, it was not told by demonstrations.
    :raises DataError: where demonstrations lack a key.
    """

    def __init__(
        self,
        make_world: MakeWorld,
        features: Features,
        demonstrations: TensorDict,
        iterations: int = 2,
        judging: int = 32,
        control: bool = False,
    ) -> None:
        super().__init__()
        self.make_world = make_world
        self.features = features
        self.iterations = iterations
        self.judging = judging
        self.control = control
        self.needed: list[str | tuple[str, str]] = [*features.keys, Key.ACTION]
        self.needed += [("next", key) for key in (*features.keys, "terminated")]
        held = demonstrations.keys(include_nested=True)
        missing = [str(key) for key in self.needed if key not in held]
        if missing or not demonstrations.numel():
            raise DataError(
                f"The {demonstrations.numel()} demonstrations lack {', '.join(missing) or 'rows'}. "
                "Give at least one transition, with a state's keys and the action at the root and "
                "the next state's keys and terminated under next."
            )
        self.given = demonstrations.select(*self.needed)

    def but_control(self) -> "ImitationData":
        """Give the same without demonstrations."""
        return ImitationData(
            self.make_world, self.features, self.given, self.iterations, self.judging, True
        )

    @cached_property
    def demonstrations(self) -> TensorDict:
        """(N,) transitions to be imitated; in the control as many steps of random sessions."""
        flat = self.given.flatten() if self.given.batch_dims > 1 else self.given
        if not self.control:
            return flat
        sessions = min(64, len(flat))
        steps = -(-len(flat) // sessions)
        played = demonstrate(self.make_world(sessions), self._anything, steps)
        return played.select(*self.needed).flatten()[: len(flat)]

    def _anything(self, state: TensorDictBase) -> Tensor:
        choices = self.features.choices(state)
        logits = torch.zeros(choices.shape[:-1], device=choices.device)
        return PlackettLuce(logits, self.features.allowed(state)).sample()

    def train_dataloader(self) -> DataLoader[int]:
        """Count the iterations of an epoch."""
        return _count(self.iterations)

    def val_dataloader(self) -> DataLoader[int]:
        """Say that there is one judging."""
        return _count(1)


def _count(number: int) -> DataLoader[int]:
    # A generator of its own: a DataLoader that begins draws from torch's global one otherwise.
    return DataLoader(range(number), batch_size=None, generator=torch.Generator())  # type: ignore[arg-type]
