"""News: articles that live for two days, and a made-up site whose readers' tastes are known."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import polars as pl

from lightrec.data.domain import Domain
from lightrec.data.made_up import Choices, Floats, choose, write_made_up
from lightrec.keys import Column

DAY: Final = 86_400.0
WORDS_A_SECOND: Final = 238 / 60
"""How fast people read silently (Brysbaert 2019, "How many words do we read per minute?")."""

USERS, ARTICLES, DAYS = 400, 240, 12
VISITS: Final = 20
"""Of each user; one article is read in each."""
SHOWN: Final = 12
"""Articles in an impression."""
START: Final = 1_735_689_600
"""1 January 2025 in seconds since 1970."""
TOPICS: Final[Mapping[str, tuple[str, str]]] = {
    "football": ("strikers goalkeepers coaches referees", "penalty league transfer stadium"),
    "markets": ("investors brokers banks traders", "shares interest inflation bonds"),
    "weather": ("forecasters sailors skiers farmers", "storm frost heatwave flood"),
    "cinema": ("actors directors studios critics", "premiere sequel festival screenplay"),
    "health": ("doctors nurses patients surgeons", "vaccine clinic diet therapy"),
    "science": ("astronomers chemists biologists geologists", "telescope enzyme fossil reactor"),
    "politics": ("senators mayors ministers voters", "election budget treaty referendum"),
    "cooking": ("chefs bakers butchers winemakers", "recipe oven restaurant harvest"),
}
VERBS: Final = ["praise", "question", "fear", "defend", "explain", "reject", "celebrate", "expect"]


class NewsDomain(Domain):
    """Articles, read once, that are shown for two days after they appeared.

    On MIND 95 % of the clicks come within 50 hours of the moment when an article is first shown.
    """

    name = "news"
    repeats = False
    lifetime = timedelta(days=2)
    feedback = MappingProxyType({"click": 1.0, "share": 2.0})

    def text(self, items: pl.DataFrame) -> pl.Series:
        """Put articles into words: the title, the abstract and the topic.

        :param items: a catalog, of which ``title``, ``abstract``, ``excerpt``, ``topic`` and
            ``category`` are used where they are there.
        :returns: one string an item; empty where nothing is known.
        """
        names = (Column.TITLE, "abstract", "excerpt", "topic", "category")
        known = [pl.col(name).cast(pl.String) for name in names if name in items.columns]
        if not known:
            return pl.Series(Column.TEXT, [""] * items.height)
        words = pl.concat_str(known, separator=". ", ignore_nulls=True)
        return items.select(words.alias(Column.TEXT)).to_series()

    def synthetic(self, folder: Path, seed: int) -> Path:
        """Write twelve days of a made-up news site.

        A visit shows twelve articles of the last two days in the editors' order, new ones rather
        on top. The user reads one: article i at position p with probability ∝ exp(appeal_i) · 0.5
        ^ (age_i / 12 hours) / p. The log has the impressions, the positions of what was read, and
        the seconds for which it was read, which follow its appeal and its length.

        :param folder: an empty folder to write into.
        :returns: the folder.
        """
        chance = np.random.default_rng(seed)
        items = _articles(chance)
        topic = items["topic"].cast(pl.Enum(list(TOPICS))).to_physical().to_numpy()
        taste = chance.normal(size=(USERS, len(TOPICS)))
        appeal = 1.5 * taste[:, topic] + 0.4 * chance.normal(size=ARTICLES)
        first = items["created"].min()
        assert first is not None
        times = START + DAY * np.sort(chance.uniform(1, DAYS, (USERS, VISITS)), 1)
        site = _Site(items["created"].dt.epoch("s").to_numpy(), chance)
        found = choose(appeal, times, chance, site.moment)
        users = pl.DataFrame({Column.USER: [f"reader{user:03}" for user in range(USERS)]})
        log = site.log(found, items, users, appeal, chance)
        return write_made_up(folder, log, items, users, appeal)


class _Site:
    """Shows articles and notes what it showed.

    :param created: (N,) seconds since 1970.
    """

    def __init__(self, created: Floats, chance: np.random.Generator) -> None:
        self.created, self.chance = created.astype(float), chance
        self.shown: list[np.ndarray] = []

    def moment(self, event: int, now: Floats, chosen: np.ndarray) -> Floats:
        """Draw the impressions of a visit, and give what ages and positions add to appeal."""
        days = (now[:, None] - self.created) / DAY
        there = (days >= 0) & (days <= NewsDomain.lifetime / timedelta(days=1))
        np.put_along_axis(there, chosen, False, 1)
        order = np.where(there, self.chance.gumbel(size=days.shape) - days, -np.inf)
        shown = (-order).argsort(1, kind="stable")[:, :SHOWN]
        self.shown.append(shown)
        added = np.full(days.shape, -np.inf)
        ages = np.take_along_axis(days, shown, 1)
        place = np.log(np.arange(1, SHOWN + 1))
        pull = np.where(np.take_along_axis(there, shown, 1), -2 * np.log(2) * ages - place, -np.inf)
        np.put_along_axis(added, shown, pull, 1)
        return added

    def log(
        self,
        found: Choices,
        items: pl.DataFrame,
        users: pl.DataFrame,
        appeal: Floats,
        chance: np.random.Generator,
    ) -> pl.DataFrame:
        """Give the events with their impressions."""
        names = items[Column.ITEM].to_numpy()
        of_user = pl.col(Column.USER).cum_count().over(Column.USER) - 1
        visit = pl.DataFrame({Column.USER: found.users}).select(of_user).to_series().to_numpy()
        offers = np.stack(self.shown)[visit, found.users]
        # What appeals is read to its end.
        share = 1 / (1 + np.exp(-appeal[found.users, found.items] - chance.normal(size=len(visit))))
        seconds = items["words"].to_numpy()[found.items] / WORDS_A_SECOND * share
        return pl.DataFrame(
            {
                Column.USER: users[Column.USER].gather(found.users),
                Column.ITEM: names[found.items],
                Column.TIME: found.times,
                Column.FEEDBACK: "click",
                Column.VALUE: seconds.round(1),
                Column.IMPRESSION: [f"{u}-{v}" for u, v in zip(found.users, visit, strict=True)],
                Column.POSITION: (offers == found.items[:, None]).argmax(1) + 1,
                Column.CANDIDATES: names[offers].tolist(),
            }
        )


def _articles(chance: np.random.Generator) -> pl.DataFrame:
    """Make up the articles, evenly over the days."""
    topics = chance.choice(list(TOPICS), ARTICLES)
    titles, abstracts = [], []
    for topic in topics:
        who, what = (words.split() for words in TOPICS[topic])
        one, other = chance.choice(what, 2, replace=False)
        titles.append(f"{chance.choice(who).title()} {chance.choice(VERBS)} the {one}")
        abstracts.append(f"What {chance.choice(who)} say about {one} and {other}.")
    created = START + DAYS * DAY * np.sort(chance.uniform(size=ARTICLES))
    return pl.DataFrame(
        {
            Column.ITEM: [f"article{number:03}" for number in range(ARTICLES)],
            Column.TITLE: titles,
            "abstract": abstracts,
            "topic": topics,
            "words": chance.integers(150, 1200, ARTICLES),
            "created": pl.Series(created * 1000).cast(pl.Int64).cast(pl.Datetime("ms", "UTC")),
        }
    )
