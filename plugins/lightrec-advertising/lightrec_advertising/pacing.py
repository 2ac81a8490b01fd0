"""Bids that spread a budget over the day."""

import numpy as np
from lightrec_formats.made_up import Floats


class Pacing:
    """Shades bids so that budgets last, by a multiplier for each campaign.

    Balseiro and Gur 2019, "Learning in repeated auctions with budgets": a campaign bids
    v / (1 + μ), and after each auction μ falls by ``rate`` · (budget / steps - what was paid), down
    to 0 at least. It never bids more than is left, so that no budget is overspent where nobody pays
    more than their bid.

    :param budgets: (N,) for the whole day.
    :param steps: auctions in a day.
    :param rate: of learning, of the order 1 / √steps.
    """

    def __init__(self, budgets: Floats, steps: int, rate: float) -> None:
        self.left = np.array(budgets, float)
        self.target, self.rate = self.left / steps, rate
        self.multipliers = np.zeros(len(self.left))

    def bids(self, values: Floats) -> Floats:
        """The bids (N,) for an auction that is worth ``values`` (N,) to the campaigns."""
        return np.minimum(values / (1 + self.multipliers), self.left)

    def pay(self, costs: Floats) -> None:
        """Take what an auction cost each campaign, (N,), from their budgets."""
        self.left -= costs
        self.multipliers = np.maximum(self.multipliers - self.rate * (self.target - costs), 0)
