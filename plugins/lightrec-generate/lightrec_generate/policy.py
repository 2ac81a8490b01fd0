"""The policies of generators: they show what the generator is likely to write.

One of them is as its stage left it; the other learns on, in simulators.
"""

from copy import deepcopy
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import rms_norm

from lightrec.learners.policy_data import PolicyData
from lightrec.nn.session import State, with_progress
from lightrec.policies.base import (
    LearnedPolicy,
    ScoredPolicy,
    among_candidates,
    vectors_of,
    without_nothing,
)
from lightrec.run import Run
from lightrec_generate.generator import Generator

READING = ("users.", "known_read.", "read", "own")
"""Beginnings of the names of those parameters of a generator that read histories."""


class GeneratorPolicy(ScoredPolicy):
    """Shows slates by the exact law of a generator over the items that may be shown.

    An item's logit is its log-probability, so that the first place goes to item i with probability
    p(i) over the sum of all that may be shown, and each further place likewise among those left.

    :param generator: the generator, of which the policy has a frozen copy.
    :param inverse_temperature: a factor on log-probabilities; above 1 draws are more certain.
    """

    history_length: int

    def __init__(self, generator: Generator, inverse_temperature: float = 1.0) -> None:
        super().__init__(generator.num_items)
        self.generator = deepcopy(generator).requires_grad_(False).eval()
        self.history_length = generator.max_length
        self.inverse_temperature = inverse_temperature

    @classmethod
    def from_run(  # type: ignore[override]
        cls, run: Run, stage: str = "generator", **settings: Any
    ) -> Self:
        """Make the policy of a run's generator.

        :param stage: the stage that left it.
        """
        run.check(stage)
        return cls(Generator.load(run.folder(stage)), **settings)

    @torch.no_grad()
    def user_vectors(self, history: Tensor) -> Tensor:
        """The numbers that the generator reads of histories, ``(B, D + RECENT)``."""
        return self.generator.user_vectors(without_nothing(history, self.num_items))

    @torch.no_grad()
    def logits(self, state: State) -> Tensor:
        """The log-probabilities of a state's columns."""
        return self._logits(state)

    def _logits(self, state: State) -> Tensor:
        vectors = vectors_of(self, state)
        logits = self.generator.log_probabilities(vectors.flatten(0, -2))
        logits = logits.unflatten(0, vectors.shape[:-1]) * self.inverse_temperature
        return among_candidates(state, logits)

    def train(self, mode: bool = True) -> "GeneratorPolicy":
        """Stay as in evaluation: what is drawn is to have the law that is learned."""
        return super().train(False)


class TunedGeneratorPolicy(GeneratorPolicy, LearnedPolicy):
    """A GeneratorPolicy whose generator learns on from what simulated users answer.

    What writes learns; what reads histories stays as it was, so that they need not be read again
    for every update. Untrained, the policy shows what the generator does. The law being exact, so
    is the divergence from the beginning that ``anchor`` weighs in lightrec's learners.

    :param generator: the generator, which the policy copies.
    :param inverse_temperature: a factor on log-probabilities; above 1 draws are more certain.
    :param horizon: steps after which the step counts as 1 to critics.
    """

    def __init__(
        self, generator: Generator, inverse_temperature: float = 1.0, horizon: int = 40
    ) -> None:
        super().__init__(generator, inverse_temperature)
        for name, parameter in self.generator.named_parameters():
            parameter.requires_grad_(not name.startswith(READING))
        self.feature_size, self.horizon = generator.size + 2, horizon

    def logits(self, state: State) -> Tensor:
        """The log-probabilities of a state's columns."""
        return self._logits(state)

    def session_features(self, state: State) -> Tensor:
        """The user vector, of unit mean square, time, and success so far."""
        vectors = vectors_of(self, state)[..., : self.generator.size]
        return with_progress(rms_norm(vectors, vectors.shape[-1:]), state, self.horizon)


class GeneratorPolicyData(PolicyData):
    """The data of PolicyData, for a policy that is made of the run's generator.

    :param generator: folder of the stage `generator`, which the policy's ``from_run`` loads.
    :param settings: of :class:`~lightrec.learners.policy_data.PolicyData`.
    """

    def __init__(self, generator: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.generator = generator
