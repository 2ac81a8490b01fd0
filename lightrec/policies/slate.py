"""The policy of slates that SlateQ learns: what is taken, and what it is worth in the long run."""

from copy import deepcopy

import torch
from torch import Tensor

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.nn.best_slate import best_slate
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.session import State, perceptron
from lightrec.nn.slate_law import may_be_shown
from lightrec.policies.base import LearnedPolicy


class SlatePolicy(LearnedPolicy):
    """Shows the slate of largest expected long-term value (Ie et al. 2019, "SlateQ").

    The logits of one policy say how items are taken, nothing having logit 0. Those of another plus
    the value of the state give the long-term value once an item was taken, and a network of its own
    that of nothing. Scores are those of :func:`~lightrec.nn.best_slate.best_slate`, whose largest K
    are the best slate. Slates are drawn by the law of Plackett and Luce from scores over
    ``temperature``, a scalar buffer in units of value, at first 1, that training sets.

    :param choices: the first policy, which is copied.
    :param values: the second, of the same kind, which is copied.
    :param slate_size: places K for which scores are made.
    :param hidden: widths of the hidden layers of the values of states and of nothing.
    :raises RecipeError: where a policy tunes its way of reading histories.
    """

    temperature: Tensor

    def __init__(
        self,
        choices: LearnedPolicy,
        values: LearnedPolicy,
        slate_size: int = 1,
        hidden: tuple[int, ...] = (64,),
    ) -> None:
        super().__init__(choices.num_items)
        self.choices, self.values = deepcopy(choices), deepcopy(values)
        if choices.tune or values.tune:
            raise RecipeError(
                "tune is true among the policy's settings, but a SlatePolicy's two policies share "
                "one reading of histories and would tune it apart. Set it to false, or take "
                "another loss, such as ppo."
            )
        self.slate_size = slate_size
        self.reads, self.history_length = values.reads, values.history_length
        self.feature_size = values.feature_size
        self.level = perceptron([self.feature_size, *hidden, 1])
        self.nothing = perceptron([self.feature_size, *hidden, 1])
        self.register_buffer("temperature", torch.ones(()))

    def user_vectors(self, history: Tensor) -> Tensor:
        """Summarise histories as the second policy does."""
        return self.values.user_vectors(history)

    def session_features(self, state: State) -> Tensor:
        """The second policy's features."""
        return self.values.session_features(state)

    def action_values(self, state: State) -> tuple[Tensor, Tensor]:
        """Q of a state's columns (B, C) and of nothing (B, 1).

        Columns that may not be shown have minus infinity.
        """
        features = self.session_features(state)
        values = self.level(features) + self.values.logits(state)
        if (mask := state.get(Key.MASK, None)) is not None:
            values = torch.where(mask, values, -torch.inf)
        return values, self.nothing(features)

    def logits(self, state: State) -> Tensor:
        """Score the columns of a state."""
        values, nothing = self.action_values(state)
        return best_slate(values, self.choices.logits(state), nothing, self.slate_size).scores

    def columns(self, state: State, slate_size: int = 1) -> PlackettLuce:
        """The law of the slate over a state's columns, at the temperature."""
        scores = self.logits(state) / self.temperature
        return PlackettLuce(scores, may_be_shown(state), slate_size)
