"""Which items follow which: directional co-occurrence within a few steps."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import numpy as np
from scipy import sparse

from lightrec.nn.cooccurrence import cooccurrence
from lightrec.ranking.item_models.base import Evidence, NotApplicable, Setting
from lightrec.ranking.item_models.item_to_item import ItemToItem
from lightrec.ranking.item_models.neighbours import keep_sparse


class DirectionalCooccurrence(ItemToItem):
    """How often an item came soon after another: ``decay ** (gap - 1)`` for each time, divided by
    powers of the popularity of both.

    :param decay: per step between two events, in counting and in scoring.
    :param reach: steps up to which two events count.
    :param power: of the popularity of the earlier item: 1 makes a transition probability.
    :param power_after: of the popularity of the later item; holds popular ones down.
    :param size: how many followers an item keeps where the catalog is large.
    """

    GRID: ClassVar[Mapping[str, Sequence[Setting]]] = {
        "decay": (0.8, 0.9),
        "power_after": (0.0, 0.25, 0.5),
    }
    SCORING: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        decay: float | None = None,
        reach: int = 10,
        power: float = 0.75,
        power_after: float | None = None,
        size: int = 200,
    ) -> None:
        super().__init__()
        self.decay, self.reach, self.power = decay, reach, power
        self.power_after, self.size = power_after, size

    def fit(self, evidence: Evidence) -> Self:
        """Count pairs.

        :raises NotApplicable: where the log has no order.
        """
        if not evidence.is_ordered:
            raise NotApplicable("The log has no order, so that nothing follows anything.")
        decay = 0.8 if self.decay is None else self.decay
        after = 0.25 if self.power_after is None else self.power_after
        log = evidence.log
        counts = cooccurrence(log.items, log.offsets, evidence.num_items, decay, self.reach)
        popularity = np.maximum(evidence.counts()[1:].numpy(), 1)
        earlier = sparse.diags_array(popularity**-self.power)
        later = sparse.diags_array(popularity**-after)
        keep_sparse(self, sparse.csr_array(earlier @ counts @ later), self.size)
        return self
