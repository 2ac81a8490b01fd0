"""The policy of a generator: it shows what the generator is likely to write."""

from copy import deepcopy
from typing import Any, Self

import torch
from torch import Tensor

from lightrec.api import Run, ScoredPolicy, State, among_candidates, vectors_of, without_nothing
from lightrec_generate.generator import Generator


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
        vectors = vectors_of(self, state)
        logits = self.generator.log_probabilities(vectors.flatten(0, -2))
        logits = logits.unflatten(0, vectors.shape[:-1]) * self.inverse_temperature
        return among_candidates(state, logits)

    def train(self, mode: bool = True) -> "GeneratorPolicy":
        """Stay as in evaluation: what is drawn is to have the law that is learned."""
        return super().train(False)
