"""The policy that shows what went before a given return in a log: the decision transformer's idea.

Chen et al. 2021, "Decision transformer: reinforcement learning via sequence modeling" (NeurIPS);
Emmons et al. 2022, "RvS: what is essential for offline RL via supervised learning?" (ICLR), who
find that perceptrons do as well as the transformer; Zhuang et al. 2024, "Reinformer: max-return
sequence modeling for offline RL" (ICML), from which comes the return to ask for.
"""

from copy import deepcopy

import torch
from torch import Tensor

from lightrec.errors import RecipeError
from lightrec.nn.session import State, network_from_zero, perceptron
from lightrec.policies.base import LearnedPolicy, TwoTowerPolicy

RETURN_TO_GO = "return_to_go"
"""Key of the return that is to come in a session, (..., 1) float32."""


class ReturnConditioned(TwoTowerPolicy, LearnedPolicy):
    """Scores items by the query of a state and of the return that is asked for.

    To another policy's query comes a term, zero at first, that a network makes of the state's
    features and the return to go. Where a state holds none, as in all sessions but those of a log,
    it is the high return that a second network expects there; so nobody has to know which returns
    can be reached.

    :param policy: the other policy, which is copied; it has a query and an item table.
    :param hidden: widths of the hidden layers of both networks.
    :raises RecipeError: where it has none.
    """

    def __init__(self, policy: LearnedPolicy, hidden: tuple[int, ...] = (64,)) -> None:
        super().__init__(policy.num_items)
        if not isinstance(policy, TwoTowerPolicy):
            raise RecipeError(
                f"{type(policy).__name__} makes no query to which a return could add. Take a "
                "policy that does, such as TowerPolicy, or another loss, such as iql."
            )
        self.policy = deepcopy(policy)
        self.reads, self.history_length = policy.reads, policy.history_length
        self.tune, self.feature_size = policy.tune, policy.feature_size
        with torch.no_grad():
            width = policy.item_table().shape[1]
        self.expected = perceptron([self.feature_size, *hidden, 1])
        self.turn = network_from_zero([self.feature_size + 1, *hidden, width])

    def user_vectors(self, history: Tensor) -> Tensor:
        """Summarise histories as the other policy does."""
        return self.policy.user_vectors(history)

    def session_features(self, state: State) -> Tensor:
        """The other policy's features."""
        return self.policy.session_features(state)

    def item_table(self) -> Tensor:
        """The other policy's rows, ``(N + 1, D)``."""
        return self.policy.item_table()

    def query(self, state: State) -> Tensor:
        """The query ``(..., D)`` for the return asked for."""
        features = self.session_features(state)
        wanted = state.get(RETURN_TO_GO, None)
        if wanted is None:
            wanted = self.expected(features)
        return self.policy.query(state) + self.turn(torch.cat([features, wanted], -1))
