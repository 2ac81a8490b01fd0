"""Ridge regressions with a closed solution: EASE, and next-item ridge."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from scipy import sparse

from lightrec.ranking.item_models.base import Evidence, NotApplicable, Setting
from lightrec.ranking.item_models.item_to_item import DENSE, ItemToItem
from lightrec.ranking.item_models.pairs import decayed_histories, owners, users_by_items


def _small_enough(evidence: Evidence) -> None:
    if evidence.num_items > DENSE:
        raise NotApplicable(
            f"It solves a system as large as the catalog: {evidence.num_items:,} items, where up "
            f"to {DENSE:,} are taken."
        )


class EASE(ItemToItem):
    """Each item regressed on all others, over users (Steck 2019, "Embarrassingly shallow
    autoencoders", equation 8).

    :param l2: of the regression.
    :param decay: what an item of a history counts less for each event since, in scoring.
    """

    GRID: ClassVar[Mapping[str, Sequence[Setting]]] = {
        "l2": (50.0, 200.0, 800.0),
        "decay": (1.0, 0.95, 0.9, 0.8),
    }

    def __init__(self, l2: float | None = None, decay: float | None = None) -> None:
        super().__init__()
        self.l2, self.decay = l2, decay

    def fit(self, evidence: Evidence) -> Self:
        """Solve for the matrix, whose diagonal is 0.

        :raises NotApplicable: where the catalog is too large.
        """
        _small_enough(evidence)
        events = users_by_items(evidence.log, evidence.num_items)
        gram = (events.T @ events).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += 200.0 if self.l2 is None else self.l2
        inverse = scipy.linalg.inv(gram, overwrite_a=True)
        matrix = inverse / -np.diag(inverse)
        np.fill_diagonal(matrix, 0)
        self.keep_matrix(torch.from_numpy(matrix.astype(np.float32)))
        return self


class NextItemRidge(ItemToItem):
    """The next item regressed on the decayed history before it, at every event (SLIST, Choe et al.
    2021, "Session-aware linear item-item models", without its weights over sessions).

    :param l2: of the regression.
    :param decay: what an item of a history counts less for each event since.
    :param reach: events that a history looks back at in fitting.
    """

    GRID: ClassVar[Mapping[str, Sequence[Setting]]] = {
        "l2": (100.0, 300.0, 1000.0),
        "decay": (0.8, 0.9),
    }
    SCORING: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self, l2: float | None = None, decay: float | None = None, reach: int = 30
    ) -> None:
        super().__init__()
        self.l2, self.decay, self.reach = l2, decay, reach

    def fit(self, evidence: Evidence) -> Self:
        """Solve for the matrix.

        :raises NotApplicable: where the log has no order, or the catalog is too large.
        """
        if not evidence.is_ordered:
            raise NotApplicable("The log has no order, so that there is no next item.")
        _small_enough(evidence)
        gram, cross = self._products(evidence)
        gram[np.diag_indices_from(gram)] += 300.0 if self.l2 is None else self.l2
        matrix = scipy.linalg.solve(gram, cross, assume_a="pos", overwrite_a=True)
        self.keep_matrix(torch.from_numpy(matrix))
        return self

    def _products(self, evidence: Evidence) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Inner products (N, N) of histories with histories, and of histories with next items."""
        log, decay = evidence.log, 0.8 if self.decay is None else self.decay
        users = owners(log)
        followed = np.flatnonzero(users[1:] == users[:-1])
        histories = decayed_histories(log, evidence.num_items, decay, self.reach)[followed]
        gram = (histories.T @ histories).toarray()
        following = np.asarray(log.items)[followed + 1] - 1
        # One entry a row: the item that followed.
        chosen = sparse.csr_array(
            (np.ones(len(following), np.float32), (np.arange(len(following)), following)),
            shape=(len(following), evidence.num_items),
        )
        return gram, (histories.T @ chosen).toarray()
