"""Penalties: never positive, to be weighed against other rewards in a sum."""

import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import normalize

from lightrec.data.categories import categories
from lightrec.data.store import EventStore
from lightrec.errors import RecipeError, RunError
from lightrec.keys import PADDING, Key
from lightrec.rewards.base import Reward
from lightrec.users.choice_model import ChoiceModel
from lightrec.users.ensemble import Ensemble, load_user_model


class RepetitionPenalty(Reward):
    """Minus how often what was accepted was accepted before, among the last steps; 0 for nothing.

    :param window: how many of a history's last steps count.
    """

    def __init__(self, window: int = 20) -> None:
        super().__init__()
        self.window = _window(window)

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1), from -window to 0 for each item."""
        history, slate = transition[Key.HISTORY][:, -self.window :], transition[Key.ACTION]
        same = (history.unsqueeze(2) == slate.unsqueeze(1)) & self.taken(transition).unsqueeze(1)
        return -same.sum((1, 2)).unsqueeze(1).float()


class FatiguePenalty(Reward):
    """Minus the part of the last steps in which something of the same kind was accepted.

    Of one kind are items of one category or, without categories, items whose vectors are near each
    other. 0 for nothing; a history shorter than the window tires less.

    :param folder: what a reward stage left, of whose item vectors the nearness is measured.
    :param window: how many of a history's last steps count.
    :param near: the cosine from which on two items are of one kind.
    :param data: the folder of the prepared log, such as ``runs/video/data``: items of one category
        of its catalog are of one kind, whatever their vectors say.
    :param category: the attribute of its catalog that is the category; by default the first with 2
        to 40 different values.
    :raises RecipeError: where a setting is out of range or the catalog has no such category.
    """

    kinds: Tensor

    def __init__(
        self,
        folder: str,
        window: int = 10,
        near: float = 0.5,
        data: str | None = None,
        category: str | None = None,
    ) -> None:
        super().__init__()
        self.window, self.near = _window(window), near
        if not -1 <= near <= 1:
            raise RecipeError(f"near is {near}; a cosine lies between -1 and 1.")
        if category is not None and data is None:
            raise RecipeError(
                f"The category {category!r} is an attribute of a catalog: give data, the folder of "
                "the prepared log, too."
            )
        if data is None:
            kinds = normalize(ChoiceModel.load(folder).vectors, dim=1)
        else:
            store = EventStore.open(data)
            known = category is None or category in store.catalog.columns
            found = categories(store, category) if known else None
            if found is None:
                raise RecipeError(
                    f"The catalog in {data} has no attribute "
                    f"{category or 'with 2 to 40 values'!r} of words: name another category, or "
                    "leave out data to go by item vectors."
                )
            kinds = found
        # Row N + 1, nothing, is never compared; it must only be there.
        self.register_buffer("kinds", torch.cat([kinds, kinds[:1]]))

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1), from -1 to 0 for each item."""
        history = transition[Key.HISTORY][:, -self.window :].unsqueeze(2)
        ours, theirs = self.kinds[transition[Key.ACTION]], self.kinds[history.squeeze(2)]
        if self.kinds.ndim == 2:
            same = theirs @ ours.mT >= self.near
        else:
            ours = ours.unsqueeze(1)
            same = (theirs.unsqueeze(2) == ours) & (ours >= 0)
        items = len(self.kinds) - 2
        same &= (history > PADDING) & (history <= items) & self.taken(transition).unsqueeze(1)
        return -same.sum((1, 2)).unsqueeze(1).float() / self.window


class UncertaintyPenalty(Reward):
    """Minus how little an ensemble of user models knows of the answer to the slate, in nats.

    A policy that is penalised so keeps to what the log knows (Yu et al. 2020, "MOPO"). Where the
    simulator tells its own uncertainty under ``next``, that is taken.

    :param folder: what a reward stage with ``members`` above 1 left.
    :raises RunError: where there is a single user model, which does not tell.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        model = load_user_model(folder)
        if not isinstance(model, Ensemble):
            raise RunError(
                f"In {folder} there is a single user model, which does not tell how uncertain it "
                "is: fit an ensemble, with `members` above 1 in the reward's recipe."
            )
        self.model = model.requires_grad_(False)

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1), at lowest minus the logarithm of the number of members."""
        nested = ("next", Key.UNCERTAINTY)
        if nested in transition.keys(include_nested=True):
            known: Tensor = transition[nested]
            return -known
        history = transition[Key.HISTORY][:, -self.model.history_length :]
        return -self.model.predict(history, transition[Key.ACTION])[1].unsqueeze(1)


def _window(window: int) -> int:
    if window < 1:
        raise RecipeError(f"window is {window}; give 1 step or more.")
    return window
