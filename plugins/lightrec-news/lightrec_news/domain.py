"""News: articles that live for two days, and a synthetic site whose readers' tastes are known."""

from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import polars as pl
import yaml
from lightrec_formats.made_up import DAY, NEW_YEAR, Floats, Rows, choose, write_made_up

from lightrec.api import Column, Domain

WORDS_A_SECOND: Final = 238 / 60
"""How fast people read silently (Brysbaert 2019, "How many words do we read per minute?")."""

USERS, ARTICLES, DAYS = 400, 240, 12
VISITS: Final = 20
"""Number of visits of each user; one article is read in each."""
SHOWN: Final = 12
"""Articles in an impression."""
_WORDS: Final = yaml.safe_load(Path(__file__).with_name("made_up.yaml").read_text(encoding="utf-8"))
TOPICS, VERBS = _WORDS.values()


class NewsDomain(Domain):
    """Articles, read once, that are shown for two days after they appeared.

    On MIND 95 % of the clicks come within 50 hours of the moment when an article is first shown.
    """

    name = "news"
    repeats = False
    words = MappingProxyType(
        dict.fromkeys(("title", "abstract", "excerpt", "topic", "category"), "{}")
    )
    lifetime = timedelta(days=2)
    feedback = MappingProxyType({"click": 1.0, "share": 2.0})

    def synthetic(self, folder: Path, seed: int) -> Path:
        """Write twelve days of a synthetic news site.

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
        created = items["created"].dt.epoch("s").to_numpy()
        times = NEW_YEAR + DAY * np.sort(chance.uniform(1, DAYS, (USERS, VISITS)), 1)
        impressions: list[Rows] = []

        def moment(event: int, now: Floats, chosen: Rows) -> Floats:
            """Draw the impressions of a visit, and give what ages and positions add to appeal."""
            days = (now[:, None] - created) / DAY
            there = (days >= 0) & (days <= self.lifetime / timedelta(days=1))
            np.put_along_axis(there, chosen, False, 1)
            order = np.where(there, chance.gumbel(size=days.shape) - days, -np.inf)
            shown = (-order).argsort(1, kind="stable")[:, :SHOWN]
            impressions.append(shown)
            places = np.full(days.shape, np.inf)
            np.put_along_axis(places, shown, np.arange(1.0, SHOWN + 1), 1)
            return np.where(there, -2 * np.log(2) * days - np.log(places), -np.inf)

        made = choose(appeal, times, chance, moment)
        users = pl.DataFrame({Column.USER: [f"reader{user:03}" for user in range(USERS)]})
        offers = np.stack(impressions)[made.numbers, made.users]
        # What appeals is read to its end.
        wish = appeal[made.users, made.items] + chance.normal(size=len(offers))
        whole = items["words"].to_numpy()[made.items] / WORDS_A_SECOND
        log = made.log(
            users[Column.USER],
            items[Column.ITEM],
            feedback="click",
            value=(whole / (1 + np.exp(-wish))).round(1),
            impression=[f"{user}-{n}" for user, n in zip(made.users, made.numbers, strict=True)],
            position=(offers == made.items[:, None]).argmax(1) + 1,
            candidates=items[Column.ITEM].to_numpy()[offers].tolist(),
        )
        return write_made_up(folder, log, items, users, appeal)


def _articles(chance: np.random.Generator) -> pl.DataFrame:
    """Make up the articles, evenly over the days."""
    topics = chance.choice(list(TOPICS), ARTICLES)
    titles, abstracts = [], []
    for topic in topics:
        who, what = (words.split() for words in TOPICS[topic])
        one, other = chance.choice(what, 2, replace=False)
        titles.append(f"{chance.choice(who).title()} {chance.choice(VERBS)} the {one}")
        abstracts.append(f"What {chance.choice(who)} say about {one} and {other}.")
    created = NEW_YEAR + DAYS * DAY * np.sort(chance.uniform(size=ARTICLES))
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
