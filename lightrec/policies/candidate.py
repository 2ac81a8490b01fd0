"""The learned policy on a run: the ranker's scores plus what rewards teach it to add."""

from copy import deepcopy
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, rms_norm

from lightrec.keys import Key
from lightrec.nn.session import State, network_from_zero, with_progress
from lightrec.policies.base import (
    SILENT,
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

    The utilities are a user model's, and their weight w is learned. The query comes from the user
    vector, the step and the acceptances so far. Weight and query start at zero, so that an
    untrained policy ranks exactly as the ranker. Nothing is learned for single items: one never
    shown in training is scored from its vectors. The inverse temperature β is fixed: learning it
    would make draws more certain before anything else has been learned, and not rank differently.

    :param ranker: the ranker, of which the policy has a frozen copy.
    :param user_model: gives the utilities, a frozen copy too; None does without.
    :param history_length: how many of a history's last steps are read.
    :param tune: whether the ranker's user tower learns on. Item vectors stay as they are, so that
        new items keep their place among them.
    :param size: width of query and projection; 0 learns the weight of utilities only.
    :param hidden: width of the layer that makes the query.
    :param inverse_temperature: β, a factor on the ranker's scores.
    :param horizon: steps after which the step counts as 1.
    """

    history_length: int
    item_vectors: Tensor
    """(N + 1, D) float32: side by side the ranker's item vectors and biases, and what the user
    model sees of the items."""
    item_scale: Tensor
    """(ranker's columns,) float32: brings them to unit variance."""

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
        self.ranker = deepcopy(ranker).requires_grad_(False).eval()
        # A simulator may have taken the user model to another device.
        device = self.ranker.bias.device
        self.user_model = None if user_model is None else deepcopy(user_model).to(device)
        self.history_length, self.inverse_temperature = history_length, inverse_temperature
        self.tune = tune
        if tune:
            self.reads = (Key.HISTORY, Key.STEP, Key.ACCEPTED_TOTAL)
            for name, parameter in self.ranker.named_parameters():
                parameter.requires_grad_(not name.startswith("items."))
        self.widths = [ranker.size + 1]
        if self.user_model is not None:
            self.user_model.requires_grad_(False).eval()
            self.widths.append(self.user_model.as_candidate.out_features + 1)
        self.freeze_items()
        self.utility_weight = nn.Parameter(torch.zeros(()))
        self.feature_size, self.horizon = sum(self.widths) - len(self.widths) + 2, horizon
        self.query_network: nn.Module | None = None
        if size:
            self.query_network = network_from_zero([self.feature_size, hidden, size])
            self.project = nn.Linear(self.widths[0], size, bias=False)
        self.to(self.item_vectors.device)

    @classmethod
    def from_run(cls, run: RunParts, use_utilities: bool = True, **settings: Any) -> Self:
        """Make an untrained policy around the run's ranker and user model A.

        :param use_utilities: whether the policy sees the user model's utilities.
        """
        return cls(run.ranker, run.users_a.choice if use_utilities else None, **settings)

    @torch.no_grad()
    def freeze_items(self) -> None:
        """Copy the parts' item vectors, which no longer change."""
        columns = [with_biases(self.ranker)]
        spread = columns[0][1:].std(0, correction=0)
        scale = torch.where(spread > SILENT, 1 / spread.clamp_min(SILENT), 0)
        self.register_buffer("item_scale", scale)
        if self.user_model is not None:
            features, constant = self.user_model.item_features()
            columns += [features, constant[:, None]]
        self.register_buffer("item_vectors", torch.cat(columns, 1).clone())

    def user_vectors(self, history: Tensor) -> Tensor:
        """The ranker's user vectors and the user model's tastes side by side: ``(B, D)``."""
        chosen = without_nothing(history, self.num_items)[:, -self.history_length :]
        with torch.set_grad_enabled(self.tune and torch.is_grad_enabled()):
            vectors = self.ranker.user_vectors(chosen)
        if self.user_model is None:
            return vectors
        if not self.user_model.records_nothing:
            history = chosen
        taste = self.user_model.tastes(self.user_model.state(history))[:, :-1]
        return torch.cat([vectors, taste], 1)

    def session_features(self, state: State) -> Tensor:
        """The user vector, of unit mean square, time, and success so far."""
        vectors = vectors_of(self, state)
        return with_progress(rms_norm(vectors, vectors.shape[-1:]), state, self.horizon)

    def query(self, state: State) -> Tensor:
        """The weights of the item table's columns, ``(..., D)``."""
        parts = vectors_of(self, state).split([width - 1 for width in self.widths], -1)
        # A one for the column of biases.
        inputs = [pad(part, (0, 1), value=1.0) for part in parts]
        weights = self.inverse_temperature * inputs[0]
        if self.query_network is not None:
            # Scaled columns make learning independent of the ranker's units. Centring them as
            # well would add the same to all items.
            query = self.query_network(self.session_features(state))
            weights = weights + query @ (self.project.weight * self.item_scale)
        return torch.cat([weights, *(self.utility_weight * part for part in inputs[1:])], -1)

    def item_table(self) -> Tensor:
        """The item vectors, ``(N + 1, D)``."""
        return self.item_vectors

    def train(self, mode: bool = True) -> "CandidatePolicy":
        """Set the mode of all but the frozen parts."""
        super().train(mode)
        self.ranker.eval()
        if self.user_model is not None:
            self.user_model.eval()
        return self
