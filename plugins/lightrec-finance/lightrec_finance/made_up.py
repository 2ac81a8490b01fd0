"""A synthetic market and its investors, whose truth is known.

Prices follow one market, six sectors and noise of their own. Investors choose by taste for sectors,
by how near a product's risk is to what suits them, by fame, and run after what has risen.
"""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from lightrec_formats.made_up import DAY, Floats, Rows, choose, write_made_up
from numpy.typing import NDArray

from lightrec.api import Audience, Column
from lightrec_finance.risk import RISK, RISK_LIMIT, risk_class, suits, volatility

SECTORS: Final = ("energy", "health", "technology", "banks", "property", "food")
KINDS: Final = {"bond fund": 0.15, "fund": 0.6, "share": 1.0, "small share": 1.7}
"""How much of a product's market and sector risk a kind has."""
YEARS: Final = dict(zip(KINDS, (2, 5, 5, 7), strict=True))
LOSSES: Final = dict(zip(KINDS, (0.3, 0.6, 1.0, 1.0), strict=True))
"""How long a kind is meant to be held, and the share of it that may be lost."""
NAMES: Final = ("Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Ginkgo", "Hazel")
INVESTORS, EVENTS = 400, 20
DAYS, QUIET = 756, 252
"""Trading days in all, and how many of them pass before the first trade."""
FIRST_DAY: Final = np.datetime64("2021-01-04")
MONTH: Final = 21
CHASE: Final = 4.0
"""Log-odds of a choice for a rise by 100 % in the last month."""
UNSUITABLE: Final = -3.0
"""Log-odds of a product above one of the investor's limits, which some buy all the same."""


def market(seed: int) -> tuple[pl.DataFrame, NDArray[np.datetime64], Floats]:
    """Make up 192 products and three years of prices, the same for the same seed.

    :returns: item, title, kind, sector and risk of N products; D days; and the prices, (D, N).
    """
    chance = np.random.default_rng((seed, 1))
    named = [(sector, kind, name) for sector in SECTORS for kind in KINDS for name in NAMES]
    count = len(named)
    sectors, kinds, _ = zip(*named, strict=True)
    scale = np.array([KINDS[kind] for kind in kinds]) * chance.uniform(0.7, 1.4, count)
    sector = [SECTORS.index(sector) for sector in sectors]
    of_market = chance.normal(0.0003, 0.008, DAYS - 1)
    of_sectors = chance.normal(0, 0.006, (DAYS - 1, len(SECTORS)))
    noise = chance.normal(0, 0.008, (DAYS - 1, count))
    drift = chance.normal(0, 0.0002, count)
    returns = scale * (of_market[:, None] + of_sectors[:, sector] + noise + drift)
    steps = np.concatenate([chance.uniform(2.5, 5, (1, count)), returns])
    days = np.busday_offset(FIRST_DAY, np.arange(DAYS))
    items = [f"MU{number:03d}" for number in range(1, count + 1)]
    products = pl.DataFrame(
        {
            Column.ITEM: items,
            Column.TITLE: [f"{name} {sector.title()} {kind}" for sector, kind, name in named],
            "kind": kinds,
            "sector": sectors,
            RISK: risk_class(volatility(returns)),
            "holding_years": [YEARS[kind] for kind in kinds],
            "largest_loss": [LOSSES[kind] for kind in kinds],
        }
    )
    return products, days, np.exp(steps.cumsum(axis=0))


def write(folder: Path, seed: int) -> Path:
    """Write a log of 400 investors with 20 purchases each, of which some are sold again.

    :param folder: an existing folder.
    """
    products, days, prices = market(seed)
    chance = np.random.default_rng((seed, 2))
    risk, sectors = products[RISK].to_numpy(), products["sector"].to_list()
    limit = chance.integers(2, 8, INVESTORS)
    taste = chance.normal(0, 1.0, (INVESTORS, len(SECTORS)))
    fame = chance.normal(0, 0.6, products.height)
    years, bearable = chance.integers(3, 20, INVESTORS), chance.choice([0.6, 1.0, 1.0], INVESTORS)
    investors = pl.DataFrame({RISK_LIMIT: limit, "years": years, "loss_limit": bearable})
    audience = Audience(users=investors, items=products, time=pl.Series([None] * INVESTORS))
    below = limit[:, None] - risk
    appeal = taste[:, [SECTORS.index(sector) for sector in sectors]] + fame
    appeal += np.where(np.asarray(suits(audience)), -0.4 * below, UNSUITABLE)
    rows = np.sort(chance.integers(QUIET, DAYS, (INVESTORS, EVENTS)), axis=1)
    # Trades happen in the morning, when the last prices known are those of the evening before.
    seconds = days.astype("datetime64[s]").astype(np.int64)[rows] + 9 * 3600
    times = seconds + np.sort(chance.integers(0, 1800, rows.shape), axis=1)
    logs = np.log(prices)

    def rise(event: int, now: Floats, chosen: Rows) -> Floats:
        """Add what prices did in the month until the evening before."""
        last = rows[:, event] - 1
        return np.asarray(CHASE * (logs[last] - logs[last - MONTH]))

    made = choose(appeal, times.astype(float), chance, rise, repeats=True)
    people = pl.Series(Column.USER, [f"investor-{user + 1:03d}" for user in range(INVESTORS)])
    bought = made.log(people, products[Column.ITEM], feedback="purchase")
    later = made.times + DAY * chance.integers(20, 120, len(made.times))
    sold = made._replace(times=later).log(people, products[Column.ITEM], feedback="sale")
    sold = sold.filter((chance.random(len(later)) < 0.15) & (later <= made.times.max()))
    investors = investors.insert_column(0, people)
    log = pl.concat([bought, sold]).sort(Column.TIME, maintain_order=True)
    return write_made_up(folder, log, products, investors, appeal)
