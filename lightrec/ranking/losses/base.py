"""The base class of losses."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn

from lightrec.ranking.ranker import Ranker

Seen = Callable[[slice], Tensor]
"""From some rows to the items that each of them has seen, (rows, S) int64, 0 where there is none.

Asked for block by block, since all rows' items at once may be more than fit."""


class RankingLoss(nn.Module, ABC):
    """How far a ranker is from ranking the next item first.

    A row is one prediction: a state of the user tower and the item that came next. Items that a row
    has seen are nobody's negatives; a row without negatives costs nothing but its own item's part.

    Subclass it, and a recipe can name the class: ``loss: {class_path: my_package.MyLoss}``. The
    constructor's arguments are plain Python, each kept as an attribute of its own name, because
    checkpoints hold :attr:`settings`.
    """

    def prepare(self, popularity: Tensor) -> None:
        """Take what the loss must know of the data; called once, before training.

        :param popularity: (N + 1,) float32, how often each item was a training event, on the
            device of the training.
        """

    @abstractmethod
    def forward(self, ranker: Ranker, states: Tensor, target: Tensor, seen: Seen) -> Tensor:
        """Give the loss of some predictions.

        :param ranker: whose item vectors and biases score the items.
        :param states: (R, D) from the user tower.
        :param target: (R,) int64 the items that came next, 1 to N.
        :param seen: gives the items that rows have seen; the target may be among them.
        :returns: a scalar, a mean over rows; 0 where R is 0.
        """

    @property
    def settings(self) -> dict[str, object]:
        """The loss as a recipe writes it: ``class_path`` and ``init_args``."""
        kind = type(self)
        # torch's own constructor, where a loss has none, takes any arguments and keeps none.
        own = () if kind.__init__ is nn.Module.__init__ else inspect.signature(kind).parameters
        return {
            "class_path": f"{kind.__module__}.{kind.__qualname__}",
            "init_args": {name: getattr(self, name) for name in own},
        }


def at_least_one(negatives: int) -> int:
    """Give back a number of negatives.

    :raises ValueError: where it is below 1.
    """
    if negatives < 1:
        raise ValueError(
            f"A loss cannot draw {negatives} negatives: give 1 or more, or take SoftmaxLoss, which "
            "draws none."
        )
    return negatives
