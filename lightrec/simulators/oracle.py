"""The contenders that know what no policy may know."""

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.keys import Key
from lightrec.nn.slate_law import ItemSlates
from lightrec.simulators.world import World


class Oracle:
    """Shows what a world's own oracle scores highest, or draws by these scores as logits.

    :param world: whose states it will see.
    """

    knows_truth = True

    def __init__(self, world: World) -> None:
        self.world = world

    def user_vectors(self, history: Tensor) -> Tensor:
        """(B, 0): it does not go by histories."""
        return torch.zeros(len(history), 0, device=history.device)

    def scores(self, state: TensorDictBase) -> Tensor:
        """(B, N + 1), or (B, C) for the candidates of an offer."""
        return self.world.oracle(state)

    def act(
        self, state: TensorDictBase, slate_size: int = 1, deterministic: bool = True
    ) -> TensorDictBase:
        """Write the slate and its log-probability into a state."""
        law = ItemSlates.of_scores(state, self.scores(state), slate_size)
        slate = law.mode if deterministic else law.sample()
        state[Key.LOG_PROBABILITY] = law.log_prob(slate)
        return state.set(Key.ACTION, slate)


class Greedy(Oracle):
    """Shows what a world likes most now, whatever comes after: what knowing its users alone gives.

    :param world: whose states it will see, one that says what is liked.
    """

    def scores(self, state: TensorDictBase) -> Tensor:
        """(B, N + 1), or (B, C) for the candidates of an offer."""
        return self.world.greedy(state)
