"""A synthetic log of watching: films and series, tastes for genres, and what is given up."""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import yaml
from lightrec_formats.made_up import BEGIN, DAY, Floats, Rows, choose, ended, write_made_up
from numpy.typing import NDArray

PEOPLE, FILMS, SERIES = 400, 200, 10
EPISODES: Final = 5
"""Number of episodes of each series."""
EVENTS: Final = 26
"""Largest number of events a person; the shortest history has two thirds of them."""
PAIRED: Final = 0.5
"""How much a title's second genre counts beside its first."""
FRONT: Final = 0.25
"""The share of events in which people take what the front page shows: by fame alone."""
SKIPPED: Final = 0.6
"""The largest share that people skip of a title that they watch; less, the more it appeals."""
HOOKED: Final = 2.0
"""Log-odds that having watched an episode to its end adds to the next one."""
COUNTRIES: Final = ("NO", "SE", "DK")
"""Where viewers are; a tenth of the titles are licensed in the first one alone."""
ENDED: Final = BEGIN + 20 * DAY
"""When the licences of a few titles end."""

_WORDS: Final = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
GENRES, KINDS = _WORDS.values()
"""Genres, and what titles of each are about."""


def watching(folder: Path, seed: int) -> Path:
    """Write a log with kinds ``watch`` and ``abandon`` and seconds watched, titles and their truth.

    What appeals is a title's two genres, its fame, and in three more ways what its words do not
    say; episodes appeal as their series does. An episode can be watched when the one before was,
    to its end. The less a title appeals to somebody who took it from the front page, the more
    likely it is abandoned. Nobody watches a title above their age, or outside of its licence.

    :param folder: an empty folder, see :func:`~lightrec_formats.made_up.write_made_up`.
    :returns: the folder.
    """
    chance = np.random.default_rng(seed)
    title = np.concatenate([np.arange(FILMS), FILMS + np.arange(SERIES).repeat(EPISODES)])
    genres = np.array([chance.permutation(len(GENRES))[:2] for _ in range(FILMS + SERIES)])
    taste = 1.8 * chance.normal(size=(PEOPLE, len(GENRES)))
    hidden, kind = chance.normal(size=(PEOPLE, 3)), chance.normal(size=(FILMS + SERIES, 3))
    fame = chance.normal(0, 0.5, FILMS + SERIES)[title]
    said = taste[:, genres[:, 0]] + PAIRED * taste[:, genres[:, 1]]
    appeal = (said + 0.4 * hidden @ kind.T)[:, title] + fame
    first = np.r_[np.ones(FILMS, bool), np.arange(SERIES * EPISODES) % EPISODES == 0]
    times = BEGIN + DAY * np.cumsum(0.2 + chance.exponential(2.5, (PEOPLE, EVENTS)), 1)
    lengths = chance.integers(2 * EVENTS // 3, EVENTS + 1, PEOPLE)
    times = ended(times, lengths)
    front, patience = chance.random((2, *times.shape))
    age = chance.integers(8, 70, PEOPLE)
    rating = chance.choice([0, 6, 12, 16, 18], FILMS + SERIES, p=[0.4, 0.2, 0.2, 0.1, 0.1])[title]
    country = chance.choice(COUNTRIES, PEOPLE)
    abroad, over = chance.random((2, FILMS + SERIES))[:, title] < [[0.1], [0.05]]
    unfit = (age[:, None] < rating) | (abroad & (country != COUNTRIES[0])[:, None])
    middle, people = np.quantile(appeal, 0.6, 1), np.arange(PEOPLE)

    def abandoned(who: Rows, event: int | Rows, items: Rows) -> NDArray[np.bool_]:
        """(B,) bool: who gives up what the front page showed."""
        below = middle[who] - appeal[who, items]
        return (front[who, event] < FRONT) & (patience[who, event] < 1 / (1 + np.exp(-below)))

    def moment(event: int, now: Floats, chosen: Rows) -> Floats:
        """Add what follows; take away what cannot be followed yet."""
        seen = np.zeros(appeal.shape, bool)
        for earlier, items in enumerate(chosen.T):
            seen[people, items] = ~abandoned(people, earlier, items)
        follows = np.roll(seen, 1, 1) & ~first
        added = np.where(front[:, event, None] < FRONT, fame - appeal, HOOKED * follows)
        there = (first | follows) & ~unfit & ~(over & (now > ENDED)[:, None])
        return np.where(there, added, -np.inf)

    made = choose(appeal, times, chance, moment)
    ends = pl.Series(np.where(over, ENDED, BEGIN + 1000 * DAY).astype(int))
    titles = _titles(title, genres, chance).with_columns(
        pl.Series("age_rating", rating),
        pl.Series("territories", [[COUNTRIES[0]] if only else None for only in abroad]),
        licence_starts=pl.from_epoch(pl.lit(int(BEGIN))),
        licence_ends=pl.from_epoch(ends),
    )
    names = [f"viewer {person}" for person in people]
    users = pl.DataFrame({"user": names, "age": age, "country": country})
    given_up = abandoned(made.users, made.numbers, made.items)
    drawn = chance.random(len(given_up))
    below = 1 / (1 + np.exp(appeal[made.users, made.items] - middle[made.users]))
    shares = np.where(given_up, 0.05 + 0.5 * drawn, 1 - SKIPPED * drawn * below)
    seconds = np.floor(shares * titles["duration"].to_numpy()[made.items])
    feedback = np.where(given_up, "abandon", "watch")
    log = made.log(users["user"], titles["item"], feedback=feedback, value=seconds)
    return write_made_up(folder, log, titles, users, appeal)


def _titles(title: Rows, genres: Rows, chance: np.random.Generator) -> pl.DataFrame:
    """N rows: what each film and each episode is called, and how many seconds it takes."""
    words = [[[*GENRES][genre] for genre in pair] for pair in genres]
    things = [GENRES[pair[0]][n // len(KINDS) % 4] for n, pair in enumerate(words)]
    names = [f"The {KINDS[n % len(KINDS)]} {thing}" for n, thing in enumerate(things)]
    episode = [None] * FILMS + [1 + n % EPISODES for n in range(SERIES * EPISODES)]
    minutes = np.where(np.arange(len(names)) < FILMS, 80, 25) + chance.integers(60, size=len(names))
    numbered = zip(title, episode, strict=True)
    called = [f"{names[t]}, episode {e}" if e else names[t] for t, e in numbered]
    titles = {
        "item": [f"title {number}" for number in range(len(title))],
        "title": called,
        "year": chance.integers(1970, 2024, len(names))[title],
        "genres": [words[t] for t in title],
        "series": [names[t] if t >= FILMS else None for t in title],
        "episode": episode,
        "duration": 60 * minutes[title],
    }
    return pl.DataFrame(titles)
