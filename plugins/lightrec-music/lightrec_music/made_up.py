"""A synthetic log of listening: tastes, favourites that come again, satiation, radio and skips."""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import yaml
from lightrec_formats.made_up import BEGIN, DAY, Floats, Rows, choose, ended, write_made_up
from numpy.typing import NDArray

PEOPLE, ARTISTS = 360, 40
TRACKS: Final = 5
"""Number of tracks of each artist."""
EVENTS: Final = 24
"""Largest number of events a person; the shortest history has two thirds of them."""
SITTING: Final = 6
"""Tracks that follow each other at once."""
RADIO: Final = 0.3
"""The share of events in which a station chooses, by fame alone. The listener may skip."""
FAVOURITE: Final = 3.0
"""Log-odds that having played a track adds to its appeal for good,"""
SATED: Final = 6.0
"""log-odds that a play just now takes off,"""
REST: Final = 2.0
"""and the days after which so much less is left, by a factor of e."""

BANNED: Final = 0.05
"""The share of bans among listeners' last skips of a track."""
EXPLICIT: Final = 0.15
"""The share of explicit tracks."""
COUNTRIES: Final = ("NO", "SE", "DK")
"""Where listeners are; a tenth of the tracks may be played in the first one alone."""

_WORDS: Final = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
GENRES, FIRST, SECOND, THINGS = _WORDS.values()
"""Genres with the tags that artists of each are given; parts of names; parts of titles."""


def listening(folder: Path, seed: int) -> Path:
    """Write a log with kinds ``play`` and ``skip``, sittings as sessions, tracks and their truth.

    People have tastes for genres and artists. Some want no explicit tracks, and some tracks may be
    played in one country alone. What they played they like better, but not at once:
    the truth of the log is the appeal without either.

    :param folder: an empty folder, see :func:`~lightrec_formats.made_up.write_made_up`.
    :returns: the folder.
    """
    chance = np.random.default_rng(seed)
    genre = np.repeat(np.arange(ARTISTS) % len(GENRES), TRACKS)
    artist = np.repeat(np.arange(ARTISTS), TRACKS)
    fame = chance.normal(0, 0.5, ARTISTS)[artist] + chance.normal(0, 0.3, len(artist))
    taste = 1.6 * chance.normal(size=(PEOPLE, len(GENRES)))
    liking = 1.0 * chance.normal(size=(PEOPLE, ARTISTS))
    appeal = taste[:, genre] + liking[:, artist] + fame
    # Sittings are some days apart, and a track takes four minutes.
    begins = BEGIN + DAY * np.cumsum(0.3 + chance.exponential(4, (PEOPLE, EVENTS // SITTING)), 1)
    times = (begins[:, :, None] + 240.0 * np.arange(SITTING)).reshape(PEOPLE, EVENTS)
    times = ended(times, chance.integers(2 * EVENTS // 3, EVENTS + 1, PEOPLE))
    users = pl.DataFrame(
        {
            "user": [f"listener {person}" for person in range(PEOPLE)],
            "explicit": chance.random(PEOPLE) < 0.8,
            "country": chance.choice(COUNTRIES, PEOPLE),
        }
    )
    explicit, abroad = chance.random((2, len(genre))) < [[EXPLICIT], [0.1]]
    strict, away = (~users["explicit"]).to_numpy(), (users["country"] != COUNTRIES[0]).to_numpy()
    never = np.where((strict[:, None] & explicit) | (away[:, None] & abroad), -np.inf, 0.0)
    radio = chance.random(times.shape) < RADIO
    patience = chance.random(times.shape)
    people, middle = np.arange(PEOPLE), appeal.mean(1)

    def skipped(who: Rows, event: int | Rows, items: Rows) -> NDArray[np.bool_]:
        """(B,) bool: who skips what a station plays; the less it appeals, the more likely."""
        above = appeal[who, items] - middle[who]
        return radio[who, event] & (patience[who, event] < 1 / (1 + np.exp(above)))

    def moment(event: int, now: Floats, chosen: Rows) -> Floats:
        """Add favour and satiation; let stations choose by fame."""
        last, played = np.full(appeal.shape, -np.inf), np.zeros(appeal.shape, bool)
        for earlier, items in enumerate(chosen.T):
            last[people, items] = times[:, earlier]
            played[people, items] |= ~skipped(people, earlier, items)
        days = (now[:, None] - last) / DAY
        added = FAVOURITE * played - SATED * np.exp(-days / REST)
        return np.where(radio[:, event, None], fame - appeal, added) + never

    made = choose(appeal, times, chance, moment, repeats=True)
    licensed = [[COUNTRIES[0]] if only else None for only in abroad]
    tracks = _tracks(genre, artist, chance).with_columns(
        pl.Series("explicit", explicit), pl.Series("territories", licensed)
    )
    skips = skipped(made.users, made.numbers, made.items)
    sittings = [f"{user} {n}" for user, n in zip(made.users, made.numbers // SITTING, strict=True)]
    last = pl.DataFrame([made.users, made.items]).select(pl.struct(pl.all()).is_last_distinct())
    # What is banned does not come again.
    bans = skips & last.to_series().to_numpy() & (chance.random(len(skips)) < BANNED)
    feedback = np.where(bans, "ban", np.where(skips, "skip", "play"))
    log = made.log(users["user"], tracks["item"], feedback=feedback, session=sittings)
    return write_made_up(folder, log, tracks, users, appeal)


def _tracks(genre: Rows, artist: Rows, chance: np.random.Generator) -> pl.DataFrame:
    words = [[g, *chance.permutation(GENRES[g])[:3]] for g in np.array([*GENRES])[genre[::TRACKS]]]
    bands = [f"{FIRST[n % len(FIRST)]} {SECOND[n // len(FIRST)]}" for n in range(ARTISTS)]
    numbers = range(len(genre))
    tracks = {
        "item": [f"track {number}" for number in numbers],
        "title": [f"{THINGS[n % len(THINGS)]} {n // len(THINGS) + 1}" for n in numbers],
        "artist": [bands[a] for a in artist],
        "tags": [words[a] for a in artist],
    }
    return pl.DataFrame(tracks)
