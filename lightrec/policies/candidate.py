"""The learned policy: the encoder's ranking plus what a simulator's rewards add to it."""

from copy import deepcopy
from typing import Any, Self

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn

from lightrec.keys import Key
from lightrec.nn.session import SessionFeatures
from lightrec.policies.base import (
    LearnedPolicy,
    RunParts,
    TwoTowerPolicy,
    vectors_of,
    with_biases,
    without_nothing,
)
from lightrec.ranking.ranker import Ranker
from lightrec.users.choice_model import ChoiceModel


class CandidatePolicy(TwoTowerPolicy, LearnedPolicy):
    """Scores items by β · ranker's score + w · utility + query · projected item vector.

    The utility is what a user model expects the user to feel, and its weight w is learned. The
    query comes from the user vector, the step and the acceptances so far. Weight and query start at
    zero, so that an untrained policy ranks exactly as the encoder. Nothing is learned for single
    items: one never shown in training is scored from its vectors. The inverse temperature
    β is fixed: learning it
    would make draws more certain before anything else has been learned, and not rank differently.

    :param ranker: the encoder, which is frozen.
    :param user_model: whose utilities are seen, frozen too; None does without.
    :param history_length: how many of a history's last steps are read.
    :param tune: whether the encoder's user tower learns on; item vectors stay as they are, so that
        new items keep their place among them.
    :param size: width of query and projection; 0 learns the weight of utilities only.
    :param hidden: width of the layer that makes the query.
    :param inverse_temperature: β, a factor on the ranker's scores.
    :param horizon: steps after which the step counts as 1.
    """

    history_length: int
    item_vectors: Tensor
    """(N + 1, D) float32: the encoder's item vectors, the items' biases, and what the user model
    sees of the items, side by side."""
    item_scale: Tensor
    """(encoder's columns,) float32: what brings them to unit variance."""

    def __init__(
        self,
        ranker: Ranker,
        user_model: ChoiceModel | None = None,
        history_length: int = 20,
        tune: bool = False,
        size: int = 32,
        hidden: int = 64,
        inverse_temperature: float = 1.0,
        horizon: int = 40,
    ) -> None:
        super().__init__(ranker.num_items)
        self.ranker = ranker.requires_grad_(False).eval()
        self.user_model = user_model
        if user_model is not None:
            user_model.requires_grad_(False).eval()
        self.history_length, self.inverse_temperature = history_length, inverse_temperature
        self.tune = tune
        if tune:
            self.reads = (Key.HISTORY, Key.STEP, Key.ACCEPTED_TOTAL)
            for name, parameter in self.ranker.named_parameters():
                parameter.requires_grad_(not name.startswith("items."))
        self.horizon = horizon
        self.widths = [self.ranker.size + 1]
        if self.user_model is not None:
            self.widths.append(self.user_model.as_candidate.out_features + 1)
        self.register_buffer("item_vectors", torch.zeros(self.num_items + 1, sum(self.widths)))
        self.register_buffer("item_scale", torch.ones(self.widths[0]))
        self.utility_weight = nn.Parameter(torch.zeros(()))
        self.query_network: nn.Module | None = None
        self.features = SessionFeatures(self.vector_size, horizon)
        self.feature_size = self.features.size
        if size:
            last = nn.Linear(hidden, size)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.query_network = nn.Sequential(
                nn.Linear(self.features.size, hidden), nn.GELU(), last
            )
            self.project = nn.Linear(self.widths[0], size, bias=False)

    @property
    def vector_size(self) -> int:
        """Length of user vectors."""
        return sum(self.widths) - len(self.widths)

    @classmethod
    def from_run(cls, run: RunParts, use_utilities: bool = True, **settings: Any) -> Self:
        """Make an untrained policy around copies of the run's ranker and user model A.

        :param use_utilities: whether the policy sees the user model's utilities.
        """
        users = run.users_a.choice if use_utilities else None
        return cls.from_parts(run.ranker, users, **settings)

    @classmethod
    def from_parts(
        cls, ranker: Ranker, user_model: ChoiceModel | None = None, **settings: Any
    ) -> Self:
        """Make an untrained policy around copies of a trained encoder and user model.

        :param settings: the further constructor arguments.
        """
        policy = cls(deepcopy(ranker), deepcopy(user_model), **settings)
        policy.freeze_items()
        return policy.to(next(ranker.parameters()).device)

    @torch.no_grad()
    def freeze_items(self) -> None:
        """Copy the parts' item vectors, which no longer change."""
        columns = [with_biases(self.ranker)]
        spread = columns[0][1:].std(0, correction=0)
        self.item_scale = torch.where(spread > 1e-6, 1 / spread.clamp_min(1e-6), 0)
        if self.user_model is not None:
            features, constant = self.user_model.item_features()
            columns += [features, constant[:, None]]
        self.item_vectors = torch.cat(columns, 1).clone()

    def user_vectors(self, history: Tensor) -> Tensor:
        """Give the encoder's user vectors and the user model's tastes side by side: ``(B, D)``."""
        known = without_nothing(history, self.num_items)[:, -self.history_length :]
        with torch.set_grad_enabled(self.tune and torch.is_grad_enabled()):
            vectors = self.ranker.user_vectors(known)
        if self.user_model is None:
            return vectors
        if not self.user_model.records_nothing:
            history = known
        taste = self.user_model.tastes(self.user_model.state(history))[:, :-1]
        return torch.cat([vectors, taste], 1)

    def session_features(self, state: TensorDictBase) -> Tensor:
        """Give the user vector, time, and success so far."""
        features: Tensor = self.features(
            vectors_of(self, state), state[Key.STEP], state[Key.ACCEPTED_TOTAL]
        )
        return features

    def query(self, state: TensorDictBase) -> Tensor:
        """Give what the parts' item vectors and biases are weighed with, side by side."""
        parts = vectors_of(self, state).split([width - 1 for width in self.widths], -1)
        # A one for the column of biases.
        known = [nn.functional.pad(part, (0, 1), value=1.0) for part in parts]
        own = self.inverse_temperature * known[0]
        if self.query_network is not None:
            # Scaled columns make learning independent of the encoder's units. Centring them as
            # well would add the same to all items.
            query = self.query_network(self.session_features(state))
            own = own + query @ (self.project.weight * self.item_scale)
        # One product serves all.
        return torch.cat([own, *(self.utility_weight * part for part in known[1:])], -1)

    def item_table(self) -> Tensor:
        """Give the parts' item vectors and biases, side by side."""
        return self.item_vectors

    def train(self, mode: bool = True) -> "CandidatePolicy":
        """Set the mode of all but the frozen parts."""
        super().train(mode)
        self.ranker.eval()
        if self.user_model is not None:
            self.user_model.eval()
        return self
