"""Advertising: caps, budgets and flights as a hard mask, and a synthetic ad server."""

import math
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import polars as pl
import yaml
from lightrec_formats.made_up import DAY, NEW_YEAR, Floats, Rows, choose, write_made_up
from lightrec_formats.masks import between, every, left
from lightrec_formats.names import in_common
from numpy.typing import NDArray
from scipy.special import expit

from lightrec.api import Audience, Column, Domain

USERS, ADS, VISITS, SHOWN = 400, 150, 25, 8
NOTHING: Final = 3.2
"""Log-odds of clicking nothing, with which about half of the impressions are clicked."""
AGES: Final = ("18-29", "30-49", "50+")
DEVICES: Final = ("phone", "tablet", "desktop")
_WORDS: Final = yaml.safe_load(Path(__file__).with_name("made_up.yaml").read_text(encoding="utf-8"))
CATEGORIES, OFFERS = _WORDS.values()


class AdvertisingDomain(Domain):
    """Advertisements, which come again until a cap, a budget or the end of a flight forbids it.

    What must not be shown is read from attributes, each of which a log may lack:

    - ``shown`` of users, a list of the ads shown to them of late, each as often as it was shown,
      and ``cap`` of ads: an ad that was shown ``cap`` times is not shown again.
    - ``budget_left`` of ads: an ad is shown while it is above 0.
    - ``starts`` and ``ends`` of ads: an ad is shown from the one to the other.
    """

    name = "advertising"
    repeats = True
    feedback = MappingProxyType({"click": 1.0, "conversion": 10.0})

    def eligible(self, audience: Audience) -> NDArray[np.bool_] | None:
        """Return which ads may be shown to which users; see the class."""
        users, items, capped = audience.users, audience.items, None
        if "cap" in items.columns and "shown" in users.columns:
            cap = items["cap"].cast(pl.Float64).fill_null(np.inf).to_numpy()
            capped = in_common(users["shown"], items[Column.ITEM]) < cap
        flights = between(audience, "starts", "ends")
        return every(audience, left(audience, "budget_left"), flights, capped)

    def synthetic(self, folder: Path, seed: int) -> Path:
        """Write ten days of a synthetic ad server.

        It shows eight ads drawn at random. The user clicks one of them with probability ∝ exp of
        its appeal, or nothing with ∝ exp(3.2); a click becomes a conversion with a probability that
        grows with the appeal. What appeals is a matter of pairs: of age and category, of device and
        category. The list ``shown`` says what was shown on the next day, about which there are no
        events.

        :param folder: an empty folder to write into.
        :returns: the folder.
        """
        chance = np.random.default_rng(seed)
        items = _ads(chance)
        users = pl.DataFrame(
            {
                Column.USER: [f"user{user:03}" for user in range(USERS)],
                "age": chance.choice(AGES, USERS),
                "device": chance.choice(DEVICES, USERS),
                "shown": chance.choice(items[Column.ITEM].to_numpy(), (USERS, 30)).tolist(),
            }
        )
        kinds = _numbers(items["category"], [*CATEGORIES])
        appeal = 0.4 * chance.normal(size=ADS) + np.zeros((USERS, 1))
        for column, names in (("age", AGES), ("device", DEVICES)):
            pairs = 1.8 * chance.normal(size=(len(names), len(CATEGORIES)))
            # No category is for everybody: what a sum of single features can say is left out.
            appeal += (pairs - pairs.mean(0))[_numbers(users[column], [*names])][:, kinds]
        times = NEW_YEAR + DAY * np.sort(chance.uniform(0, 10, (USERS, VISITS)), 1)
        offers = chance.permuted(np.tile(np.arange(ADS), (VISITS, USERS, 1)), axis=2)[:, :, :SHOWN]

        def moment(event: int, now: Floats, chosen: Rows) -> Floats:
            added = np.full((USERS, ADS + 1), -np.inf)
            np.put_along_axis(added, offers[event], 0, 1)
            added[:, ADS] = 0
            return added

        # The last column is clicking nothing.
        wish = np.hstack([appeal, np.full((USERS, 1), NOTHING)])
        made = choose(wish, times, chance, moment, repeats=True)
        odds = wish[made.users, made.items] - 4
        bought = (chance.random(len(odds)) < expit(odds)) & (made.items < ADS)
        ads = np.array([*items[Column.ITEM], None], object)
        log = made.log(
            users[Column.USER],
            pl.Series([*ads]),
            feedback=np.where(bought, "conversion", "click"),
            candidates=ads[offers[made.numbers, made.users]].tolist(),
            propensity=1 / math.perm(ADS, SHOWN),  # of the slate in its order
        )
        return write_made_up(folder, log, items, users, appeal)


def _numbers(values: pl.Series, names: list[str]) -> Rows:
    return values.cast(pl.Enum(names)).to_physical().cast(pl.Int64).to_numpy()


def _ads(chance: np.random.Generator) -> pl.DataFrame:
    """Make up the ads; a tenth each has no budget left or has ended."""
    categories = chance.choice(list(CATEGORIES), ADS)
    titles = [
        f"{chance.choice(OFFERS)} {chance.choice(CATEGORIES[kind].split())} {kind}"
        for kind in categories
    ]
    over = NEW_YEAR + DAY * np.where(chance.random(ADS) < 0.1, 5, 60)
    return pl.DataFrame(
        {
            Column.ITEM: [f"ad{number:03}" for number in range(ADS)],
            Column.TITLE: titles,
            "category": categories,
            "bid": chance.lognormal(-1, 0.5, ADS).round(2),
            "cap": chance.integers(1, 4, ADS),
            "budget_left": np.where(chance.random(ADS) < 0.1, 0, 100.0),
            "starts": pl.Series([NEW_YEAR * 1000] * ADS).cast(pl.Datetime("ms", "UTC")),
            "ends": pl.Series(over * 1000).cast(pl.Datetime("ms", "UTC")),
        }
    )
