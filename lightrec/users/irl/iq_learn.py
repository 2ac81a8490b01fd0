"""Inverse soft Q-learning (Garg et al. 2021, "IQ-Learn: inverse soft-Q learning for imitation").

From logs alone, with a set of candidates in each step and a none-option of known reward.
"""

from collections.abc import Callable
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.users.choice_model import blocks, with_nothing
from lightrec.users.choice_sets import Batch
from lightrec.users.irl.base import LookingAhead, Make, chosen, mean
from lightrec.users.reward_model import RewardModel

Divergence = Literal["chi2", "forward-kl", "hellinger", "jensen-shannon", "reverse-kl"]


# φ of each divergence's f, and an edge a little inside the range where φ is finite.
_FUNCTIONS: Final[dict[str, tuple[Callable[[Tensor], Tensor], float]]] = {
    # f(t) = (t - 1)²
    "chi2": (lambda x: x - x.square() / 4, -torch.inf),
    # f(t) = t - 1 - log t; φ is finite above -1.
    "forward-kl": (torch.log1p, -0.9),
    # f(t) = (√t - 1)²; φ is finite above -1.
    "hellinger": (lambda x: x / (1 + x), -0.7),
    # f(t) = t log t - (t + 1) log((t + 1) / 2); φ is finite above -log 2.
    "jensen-shannon": (lambda x: torch.log(2 - torch.exp(-x)), -0.6),
    # f(t) = t log t - t + 1; φ is finite everywhere, but falls exponentially.
    "reverse-kl": (lambda x: 1 - torch.exp(-x), -3.0),
}


def phi(divergence: Divergence, x: Tensor) -> Tensor:
    """φ of rewards, elementwise; below its edge the tangent replaces it, to draw rewards back."""
    value, edge = _FUNCTIONS[divergence]
    if edge == -torch.inf:
        return value(x)
    end, slope = torch.func.jvp(value, (x.new_tensor(edge),), (x.new_ones(()),))[:2]
    return torch.where(x > edge, value(x.clamp_min(edge)), end + slope * (x - edge))


class IQLearn(LookingAhead):
    """Learns Q(s, i) = b(s) + u(s, i), u of nothing being 0; r = Q(s, i) - γ' V(s′).

    It maximises the mean over the log's steps of α φ(r / α) - (V(s) - γ' V(s′)), with V(s) =
    b(s) + log(1 + Σ exp u) over the offer. With φ of χ² this is the log-likelihood of the choices
    less r² / 4α. Where the log of a session was cut, W predicts V(s′); where the session ended,
    V(s′) is 0.

    :param anchor: weight of (b(s) - γ' W(s after nothing))², by which nothing has reward 0. With 0
        the published method remains, whose reward leaves open how values differ by state.
    :param divergence: in which occupancies are matched.
    :param strength: α: the larger, the weaker the penalty on large rewards.
    :param rate: the share of a step by which the averaged copy of W moves.
    :param ramp: the share of training in which γ' rises to its value.
    """

    reads_next = True

    def __init__(
        self,
        anchor: float = 1.0,
        divergence: Divergence = "chi2",
        strength: float = 10.0,
        rate: float = 0.02,
        ramp: float = 0.15,
    ) -> None:
        super().__init__(rate, ramp)
        if strength <= 0:
            raise RecipeError(f"strength is {strength}; it must be above 0.")
        self.anchor, self.divergence, self.strength = anchor, divergence, strength

    def build(self, make: Make, discount: float) -> None:
        """Make u, W, and b on W's states."""
        super().build(make, discount)
        size, width = self.value.trunk.state_size, self.value.hidden_size
        self.base = nn.Sequential(nn.Linear(size, width), nn.SiLU(), nn.Linear(width, 1))

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Minus the objective, the anchor, and half W's squared error."""
        items = batch[Key.CANDIDATES]
        history = blocks(batch[Key.HISTORY], len(items))
        discount = self.discount_at(progress)
        base, utilities = self._parts(history, items)
        value = base + utilities.logsumexp(-1)
        later = self._later(history, batch)
        reward = base + chosen(utilities, batch) - discount * later
        gained = self.strength * phi(self.divergence, reward / self.strength)
        with torch.no_grad():
            idle = self.slow.after_nothing(history)
        loose = (base - discount * idle).square()
        error = (self.value(history) - value.detach()).square()
        each = value - discount * later - gained + self.anchor / 2 * loose + error / 2
        return mean(each, batch)

    def reward_model(self) -> RewardModel:
        """Give Q less the averaged continuation value, both relative to nothing."""
        return RewardModel(self.reward_network, self.slow, self.discount)

    def _parts(self, history: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """b (R,), and u (R, C + 1) with nothing last."""
        utilities = self.reward_network.utilities(self.reward_network.state(history), items)
        base = self.base(self.value.trunk.state(history)).squeeze(-1)
        return base, with_nothing(utilities)

    def _later(self, history: Tensor, batch: Batch) -> Tensor:
        """V(s′) (R,) after the choices, 0 where the session ended."""
        nothing = self.reward_network.num_items + 1
        taken = chosen(pad(batch[Key.CANDIDATES], (0, 1), value=nothing), batch).unsqueeze(1)
        after = torch.cat([history[:, 1:], taken], 1)
        if not self.reward_network.records_nothing:
            after = torch.where(taken == nothing, history, after)
        base, utilities = self._parts(after, batch[Key.NEXT_CANDIDATES])
        with torch.no_grad():
            predicted = self.slow(after)
        later = torch.where(batch[Key.CUT], predicted, base + utilities.logsumexp(-1))
        return torch.where(batch[Key.ENDED], 0.0, later)
