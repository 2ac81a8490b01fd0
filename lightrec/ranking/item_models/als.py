"""Weighted matrix factorisation by alternating least squares, through the package ``implicit``."""

from typing import ClassVar, Self

import scipy
import torch
from torch import Tensor
from torch.nn import functional

from lightrec.errors import NotApplicable
from lightrec.ranking.item_models.base import Evidence, ItemModel
from lightrec.ranking.item_models.item_to_item import users_by_items
from lightrec.ranking.scorers import Details


class ALS(ItemModel):
    """Implicit-feedback matrix factorisation (Hu, Koren and Volinsky 2008).

    Each half-step has a closed solution, and so has the vector of a history that was not trained
    on: it is solved for in scoring. Needs the extra ``als``.

    :param factors: length of the vectors.
    :param l2: of users' and items' vectors.
    :param alpha: an event's confidence is 1 + alpha.
    :param iterations: of both half-steps.
    :param seed: of the start.
    """

    GRID: ClassVar = {"factors": (32, 64, 128), "alpha": (1.0, 10.0)}

    items: Tensor
    """(N + 1, F) float32, row 0 zero."""

    def __init__(
        self,
        factors: int | None = None,
        l2: float = 0.1,
        alpha: float | None = None,
        iterations: int = 15,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.factors, self.l2, self.alpha = factors, l2, alpha
        self.iterations, self.seed = iterations, seed

    def fit(self, evidence: Evidence) -> Self:
        """Alternate."""
        try:
            from implicit.cpu.als import AlternatingLeastSquares
            from threadpoolctl import threadpool_limits  # implicit needs it itself
        except ImportError:
            raise NotApplicable("It needs the package implicit: install lightrec[als].") from None
        # implicit reads a matrix of confidences less 1 for what was not seen.
        alpha = 1.0 if self.alpha is None else self.alpha
        events = users_by_items(evidence.log, evidence.num_items) * (1 + alpha)
        with threadpool_limits(1, "blas"):  # implicit has threads of its own
            model = AlternatingLeastSquares(
                factors=64 if self.factors is None else self.factors,
                regularization=self.l2,
                alpha=1.0,
                iterations=self.iterations,
                num_threads=torch.get_num_threads(),
                random_state=self.seed,
            )
            model.fit(scipy.sparse.csr_matrix(events), show_progress=False)
        factors = torch.from_numpy(model.item_factors)
        self.register_buffer("items", functional.pad(factors, (0, 0, 1, 0)))
        return self

    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score all items, (B, N + 1), by the vector that fits the history best."""
        return self.by_vectors(self.items[histories * self.first(histories)])

    @staticmethod
    def first(histories: Tensor) -> Tensor:
        """(B, L) bool: which events are the first of their items; others count for nothing.

        So it is in fitting, too.
        """
        ordered, order = histories.sort(dim=1, stable=True)
        fresh = torch.ones_like(ordered, dtype=torch.bool)
        fresh[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        return fresh.scatter(1, order, fresh)

    def by_vectors(self, had: Tensor) -> Tensor:
        """Score all items by the vectors of what was had, (B, L, F), zeros for nothing."""
        items = self.items
        confidence, size = 1 + (1.0 if self.alpha is None else self.alpha), items.shape[1]
        square = items.T @ items + self.l2 * torch.eye(size, device=items.device)
        square = square + (confidence - 1) * had.transpose(1, 2) @ had
        users = torch.linalg.solve(square, confidence * had.sum(1))
        return users @ items.T
