"""The reward of what an accepted item is worth: a rating, seconds of dwell."""

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.errors import RunError
from lightrec.keys import PADDING, Key
from lightrec.nn.choice import ChoiceModel
from lightrec.nn.user_parts import VALUE, ValueModel
from lightrec.rewards.base import Reward


class ValueReward(Reward):
    """The mean value of the item accepted, in the log's own units; 0 for nothing.

    :param folder: what a reward stage left, in a log whose values differ.
    :param least: what is taken off every accepted item's value, such as the rating from which on
        one is worth having.
    :raises RunError: where the log told nothing of values.
    """

    def __init__(self, folder: str, least: float = 0.0) -> None:
        super().__init__()
        self.model = ChoiceModel.load(folder).requires_grad_(False)
        value = ValueModel.beside(folder, VALUE)
        if value is None:
            raise RunError(
                f"There is no model of values in {folder}: all choices of its log have the same "
                "value, or too few are there. Take another reward, or a log with ratings or dwell."
            )
        self.value, self.least = value, least

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1)."""
        clicked = self.clicked(transition)
        item = clicked.squeeze(1).clamp_min(1)
        features, _ = self.model.item_features()
        mean, _ = self.value(self.model.state(transition[Key.HISTORY]), features[item], item)
        return torch.where(clicked == PADDING, 0.0, mean.unsqueeze(1) - self.least)
