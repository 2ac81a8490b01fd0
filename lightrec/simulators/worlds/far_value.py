"""Fitted soft value iteration for the world `far`: an MLP of the user's state learns V.

Users walk through the world with the policy that the current values imply, and every step's
log-sum-exp over its offer is the next regression target.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from lightrec.simulators.worlds.far_laws import FarLaws, UserState


class SoftValue(nn.Module):
    """V(u, f), averaged over offers.

    :param topics: length of the taste vector u.
    :param categories: length of the exposure vector f.
    """

    def __init__(self, topics: int, categories: int, width: int = 64) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(topics + categories, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 1),
        )

    def forward(self, taste: Tensor, exposure: Tensor) -> Tensor:
        """Values (...,) of tastes (..., 16) and exposures (..., 20)."""
        # Values are of the order of ten: the factor keeps the last layer's weights near one.
        return 10 * self.net(torch.cat([2 * taste, 0.5 * exposure], -1)).squeeze(-1)


def fit_soft_value(
    world: "FarLaws", value: SoftValue, generator: torch.Generator, *, users: int, steps: int
) -> float:
    """Fit V by soft value iteration along the walks of `users` users.

    :param value: fitted in place.
    :param users: how many walk at once.
    :param steps: regression steps; each moves every user on by one step of the world.
    :returns: root mean square Bellman error over the last tenth of the steps, offers' noise
        included.
    """
    optimizer = torch.optim.Adam(value.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1e-2, total_steps=steps, pct_start=0.1
    )
    state = world.new_users(users, generator)
    # Users of every age are in the batch at once, so that no step sees only young ones.
    age = torch.arange(users) % world.SESSION
    errors: list[float] = []
    for step in range(steps):
        offers = world.offers(users, generator)
        with torch.no_grad():
            values = world.action_values(state, offers, value)
        loss = (value(state.taste, state.exposure) - values.logsumexp(-1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step >= 0.9 * steps:
            errors.append(float(loss.detach()))
        state = world.advance(state, world.choose(values, offers, generator), generator)
        age = (age + 1) % world.SESSION
        state = _renew(state, world.new_users(users, generator), age == 0)
    return float(torch.tensor(errors).mean().sqrt())


def _renew(old: "UserState", new: "UserState", where: Tensor) -> "UserState":
    pick = where.unsqueeze(-1)
    return type(old)(
        torch.where(pick, new.taste, old.taste), torch.where(pick, new.exposure, old.exposure)
    )
