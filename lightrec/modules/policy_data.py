"""What training a policy needs: an encoder, a user model, and users to begin sessions with."""

from functools import cached_property

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightrec.data.stage_data import StageData
from lightrec.nn.choice_model import ChoiceModel
from lightrec.nn.ensemble import Ensemble, UserModel, load_user_model
from lightrec.nn.ranker import Ranker
from lightrec.nn.user_parts import LEAVING, LeavingModel
from lightrec.simulators.starts import LogStarts


class PolicyData(StageData):
    """Start states from a prepared log, beside the parts that the stages before have left.

    Batches are only numbers: the module plays its own sessions, one batch being one iteration.

    :param data: folder of the prepared log.
    :param encoder: folder of the encoder stage.
    :param reward: folder of the reward stage, with user model A.
    :param iterations: iterations of an epoch.
    :param cut: whether training sessions start anywhere in a user's training events, or at their
        end.
    :param held_out: users on whose sessions epochs are judged; no training session is theirs.
    :param seed: of the choice of those users.
    """

    def __init__(
        self,
        data: str,
        encoder: str,
        reward: str,
        iterations: int = 4,
        cut: bool = True,
        held_out: int = 256,
        seed: int = 0,
    ) -> None:
        super().__init__(data)
        self.encoder = encoder
        self.reward = reward
        self.iterations = iterations
        self.cut = cut
        self.held_out = held_out
        self.seed = seed

    @cached_property
    def ranker(self) -> Ranker:
        """The encoder."""
        return Ranker.from_pretrained(self.encoder)

    @cached_property
    def user_model(self) -> ChoiceModel:
        """User model A."""
        return ChoiceModel.load(self.reward)

    @cached_property
    def users_played(self) -> UserModel:
        """Who is played: user model A, or its ensemble where there are several members."""
        found = load_user_model(self.reward)
        return found if isinstance(found, Ensemble) else self.user_model

    @cached_property
    def leaving(self) -> LeavingModel | None:
        """How users of model A leave, where the log could tell."""
        return LeavingModel.beside(self.reward, LEAVING)

    @property
    def vector_size(self) -> int:
        """Length of the encoder's item vectors."""
        return self.ranker.size

    @cached_property
    def vectors(self) -> Tensor:
        """(N + 1, D) float32: the encoder's item vectors."""
        with torch.no_grad():
            return self.ranker.item_vectors()

    @cached_property
    def popularity(self) -> Tensor:
        """(N + 1,) int64: counts of training events."""
        return torch.from_numpy(self.store.popularity())

    @cached_property
    def _shuffled(self) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randperm(self.num_users, generator=generator)

    @property
    def held_out_users(self) -> Tensor:
        """(M,) int64: the users who judge; at most a third of all."""
        return self._shuffled[: max(1, min(self.held_out, self.num_users // 3))]

    @cached_property
    def starts(self) -> LogStarts:
        """Start states: drawn from the other users, or given by a held-out user's number."""
        users = self._shuffled[len(self.held_out_users) :]
        return LogStarts.from_store(self.store, users=users, cut=self.cut)

    def train_dataloader(self) -> DataLoader[int]:
        """Count the iterations of an epoch."""
        return _count(self.iterations)

    def val_dataloader(self) -> DataLoader[int]:
        """Say that there is one judging."""
        return _count(1)


def _count(number: int) -> DataLoader[int]:
    # A generator of its own: a DataLoader that begins draws from torch's global one otherwise, and
    # a resumed run begins its loaders at other moments than an unbroken one.
    return DataLoader(range(number), batch_size=None, generator=torch.Generator())  # type: ignore[arg-type]
