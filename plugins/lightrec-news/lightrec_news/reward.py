"""A reward of dwell time that does not pay for length."""

import polars as pl
import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import pad

from lightrec.errors import RecipeError
from lightrec.rewards.base import RewardContext, UserReward
from lightrec_news.domain import WORDS_A_SECOND


class ReadingReward(UserReward):
    """The share of an accepted article that its reader is expected to read, from 0 to 1.

    A click alone pays for bait, and seconds of dwell pay for long articles: so the expected seconds
    are divided by those that the article takes (compare Yi et al. 2014, "Beyond clicks: dwell time
    for personalization"). The values of the log are seconds.

    :param length: the items' attribute that holds their number of words.
    :param words_a_second: how fast people read.
    :raises RecipeError: where that is not above 0.
    """

    needs = "valuing"
    seconds: Tensor
    """(N + 1,) float32: how long each article takes; infinite where its length is not known."""

    def __init__(self, length: str = "words", words_a_second: float = WORDS_A_SECOND) -> None:
        super().__init__()
        if not words_a_second > 0:
            raise RecipeError(f"words_a_second is {words_a_second}; it must be above 0.")
        self.length, self.words_a_second = length, words_a_second

    def bind(self, context: RewardContext) -> None:
        """Take the user model and the articles' lengths."""
        super().bind(context)
        words = context.item_attribute(self.length).cast(pl.Float32).to_torch()
        seconds = torch.where(words > 0, words / self.words_a_second, torch.inf)
        self.register_buffer("seconds", pad(seconds, (1, 0), value=torch.inf))

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1); an article of unknown length gives 0."""
        history, items, user = self.asked(transition)
        mean, _ = self.users.value(history, items, user)
        return self.of_taken(transition, (mean / self.seconds[items]).clamp(0, 1))
