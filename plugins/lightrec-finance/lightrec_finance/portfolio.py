"""The course of portfolios: returns, risk and costs, from prices and decisions."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from lightrec_formats.made_up import Floats

from lightrec_finance.prices import Days, Prices
from lightrec_finance.risk import TRADING_DAYS, volatility


def drawdown(values: Floats) -> Floats:
    """The largest fall from an earlier high, as a share of it: 0 to 1.

    :param values: (T, …) above 0, in the order of time.
    """
    return np.asarray((1 - values / np.maximum.accumulate(values, axis=0)).max(axis=0))


def turnover(before: Floats, after: Floats) -> Floats:
    """Purchases and sales together, as a share of the portfolio.

    Going from cash into products is 1, changing all products for others is 2.

    :param before: (…, N) shares of the products; what is missing to 1 is cash.
    :param after: the same shape.
    """
    return np.asarray(np.abs(after - before).sum(axis=-1))


class Course(NamedTuple):
    """The course of P portfolios.

    :param days: (T,) the first is that of the first trade.
    :param values: (T, P), from 1 before the first trade's costs.
    :param turnover: (P,) over all trades, see :func:`turnover`.
    """

    days: Days
    values: Floats
    turnover: Floats

    def figures(self) -> dict[str, Floats]:
        """Each portfolio's return, yearly volatility and Sharpe ratio, drawdown and turnover."""
        whole = np.concatenate([np.ones_like(self.values[:1]), self.values])
        daily = self.values[1:] / self.values[:-1] - 1
        risk = volatility(daily)
        return {
            "return": self.values[-1] - 1,
            "volatility": risk,
            "sharpe": daily.mean(0) * TRADING_DAYS / np.maximum(risk, 1e-12),
            "drawdown": drawdown(whole),
            "turnover": self.turnover,
        }


def follow(decisions: Mapping[np.datetime64, Floats], prices: Prices, cost: float) -> Course:
    """Carry out decisions, each at the closing prices of the first trading day after its own.

    So no decision can be carried out at a price that it was made with. Between trades shares drift
    with the prices; a product that is not quoted keeps its last price.

    :param decisions: what portfolios shall hold, (P, N) shares of each product, what is missing to
        1 being cash; by the days in whose evenings that was decided, in their order.
    :param prices: until the last day that is looked at.
    :param cost: of each unit of :func:`turnover`; 0.001 is 10 basis points of what is traded.
    :raises ValueError: where a decision cannot be carried out: no later day, or no price.
    """
    rows = [int(np.searchsorted(prices.days, day, side="right")) for day in decisions]
    filled, end = prices.filled, len(prices.days) - 1
    if not rows or rows[-1] > end:
        raise ValueError("There is no trading day after the last decision.")
    held, value, traded = np.zeros(1), np.ones(1), np.zeros(1)
    path: list[Floats] = []
    for (day, wanted), row, stop in zip(decisions.items(), rows, [*rows[1:], end], strict=True):
        if np.isnan(filled[row, (wanted > 0).any(0)]).any():
            raise ValueError(f"A product without a price shall be bought after {day}.")
        changed = turnover(held, wanted)
        traded = traded + changed
        value = value * (1 - cost * changed)
        # Products that nobody holds may have no price yet.
        growth = np.nan_to_num(filled[row : stop + 1] / filled[row], nan=1.0)
        grown = growth @ wanted.T + (1 - wanted.sum(1))
        path.append((grown * value)[: None if stop == end else -1])
        held, value = wanted * growth[-1] / grown[-1][:, None], value * grown[-1]
    return Course(prices.days[rows[0] :], np.concatenate(path), traded)
