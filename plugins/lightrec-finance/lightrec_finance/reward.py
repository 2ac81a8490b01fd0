"""A reward after risk: what a purchase does to the user's portfolio, and nothing for trading."""

from typing import Final

import numpy as np
import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import pad

from lightrec.api import PADDING, Key, NotApplicable, RecipeError, Reward, RewardContext
from lightrec_finance.prices import PriceFiles, Prices, decided_by
from lightrec_finance.risk import TRADING_DAYS

PERIOD: Final = 5
"""Trading days in a step."""
PERIODS: Final = TRADING_DAYS / PERIOD
"""Number of periods in a year."""
WINDOW: Final = 26
"""Periods over which risk is measured."""
_APART: Final = 7919
"""Users begin so many periods apart, a prime, so that together they see all of the past."""


class RiskAdjustedReward(Reward):
    """What purchases change in the portfolio: its return after costs, volatility and drawdown.

    The portfolio is what the history holds: the same amount for each purchase. A step of a session
    is a period of five trading days, and prices move on with it: after the step the portfolio earns
    the returns of the next period, and its volatility and drawdown are those that it would have had
    in the 26 periods before. Each user begins at another moment of the past. All of it lies before
    the log's first held-out event; later prices do not count.

        reward = gain · (Δ yearly return − periods a year · cost · bought)
                 − volatility · Δ yearly volatility − drawdown · Δ largest drawdown
                 + engagement · accepted

    Δ is the portfolio with the purchases less the one without them: who buys nothing is paid
    nothing, and trading alone costs. ``bought`` is the new purchases' share of the portfolio.
    Products without a price are left out of the portfolio, and cash has no risk.

    :param prices: one or several files of daily prices, or ``made-up`` for the synthetic log's.
    :param engagement: worth of an accepted product; above 0 it pays for trading.
    :param gain: weight of the change of the net return, as of a year; 0.02 is 2 %.
    :param volatility: weight of the change of the yearly volatility.
    :param drawdown: weight of the change of the largest drawdown.
    :param cost: of each unit bought; 0.001 is 10 basis points.
    :raises RecipeError: where the cost is negative.
    """

    returns: Tensor
    priced: Tensor

    def __init__(
        self,
        prices: PriceFiles,
        engagement: float = 0.0,
        gain: float = 1.0,
        volatility: float = 1.0,
        drawdown: float = 1.0,
        cost: float = 0.001,
    ) -> None:
        super().__init__()
        if cost < 0:
            raise RecipeError(f"The cost is {cost}; give 0 or more.")
        self.prices, self.engagement, self.gain = prices, engagement, gain
        self.volatility, self.drawdown, self.cost = volatility, drawdown, cost

    def bind(self, context: RewardContext) -> None:
        """Take the returns of all periods before the log's first held-out event.

        :raises NotApplicable: where the log has no times, or there are too few prices before then.
        """
        store = context.store
        daily = Prices.of(self.prices, store).until(decided_by(store)).filled
        values = daily[(len(daily) - 1) % PERIOD :: PERIOD] if len(daily) else daily
        if len(values) < WINDOW + 2:
            raise NotApplicable(
                f"There are prices for {max(len(values) - 1, 0)} periods of {PERIOD} days before "
                f"the first held-out event; risk takes {WINDOW + 1} or more. Name older prices."
            )
        returns = torch.from_numpy(np.nan_to_num(values[1:] / values[:-1] - 1)).float()
        # Column 0 is padding, and column N + 1 that nothing was chosen.
        self.register_buffer("returns", pad(returns, (1, 1)))
        self.register_buffer("priced", pad(torch.from_numpy(~np.isnan(values[-1])), (1, 1)))

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1)."""
        taken = self.taken(transition) & (transition[Key.ACTION] > PADDING)
        step: Tensor | None = transition.get(Key.STEP, None)
        passed = 0 if step is None else step.flatten().long()
        now = _APART * transition[Key.USER].long() + passed
        now = WINDOW + now % (len(self.returns) - WINDOW)
        held = self.after(transition)
        without, with_them = (self.course(each, now) for each in (transition[Key.HISTORY], held))
        gained, risk, fall = (with_them - without).unsqueeze(-1)
        new = (self.priced[transition[Key.ACTION]] & taken).sum(1, keepdim=True)
        bought = new / self.priced[held].sum(1, keepdim=True).clamp_min(1)
        net = PERIODS * (gained - self.cost * bought)
        accepted = self.engagement * taken.sum(1, keepdim=True)
        return self.gain * net - self.volatility * risk - self.drawdown * fall + accepted

    def course(self, held: Tensor, now: Tensor) -> Tensor:
        """The return of the next period, yearly volatility and largest drawdown: (3, B).

        :param held: (B, L) items, of the same amount each.
        :param now: (B,) the period.
        """
        shares = self.priced[held].float()
        shares = shares / shares.sum(1, keepdim=True).clamp_min(1)
        window = now.unsqueeze(1) + torch.arange(-WINDOW, 1, device=now.device)
        course = (self.returns[window.unsqueeze(2), held.unsqueeze(1)] * shares.unsqueeze(1)).sum(2)
        past, following = course[:, :-1], course[:, -1]
        values = pad((1 + past).cumprod(1), (1, 0), value=1.0)
        fall = (1 - values / values.cummax(1).values).amax(1)
        return torch.stack([following, past.std(1) * PERIODS**0.5, fall])
