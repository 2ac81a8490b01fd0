"""A synthetic network: people with tastes, friends who are alike, and the posts that they like."""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import yaml
from lightrec_formats.made_up import BEGIN, DAY, Floats, Rows, choose, ended, write_made_up
from numpy.typing import NDArray

PEOPLE, POSTS = 420, 240
MAKERS: Final = 120
"""The first of the people, who write the posts; a few of them write many."""
EVENTS: Final = 30
"""Largest number of events a person."""
ALIKE: Final = 2.0
"""Log-odds that one of likeness adds to a friendship: homophily."""

TOPICS: Final = yaml.safe_load(Path(__file__).with_name("made_up.yaml").read_text(encoding="utf-8"))
"""Topics, and what posts about each are called."""


def posts(folder: Path, seed: int) -> Path:
    """Write a log of likes, posts with makers, people with friends, and the truth.

    What appeals is a post's topic, and in four more ways what its words do not say. Friendships are
    more likely between people whose tastes are alike, so that friends' likes say something of
    somebody who has liked little, as many have. Some people block a few makers, and posts expire.

    :param folder: an empty folder, see :func:`~lightrec_formats.made_up.write_made_up`.
    :returns: the folder.
    """
    chance = np.random.default_rng(seed)
    topic = chance.integers(len(TOPICS), size=POSTS)
    maker = np.minimum(chance.geometric(0.03, POSTS), MAKERS) - 1
    taste = chance.normal(size=(PEOPLE, len(TOPICS)))
    hidden, kind = chance.normal(size=(PEOPLE, 4)), chance.normal(size=(POSTS, 4))
    fame = chance.normal(0, 0.5, MAKERS)[maker]
    appeal = 0.6 * taste[:, topic] + hidden @ kind.T + fame
    friends = friendships(np.concatenate([taste, hidden], 1), chance)
    blocked = (chance.random((PEOPLE, MAKERS)) < 0.02) & ~friends[:, :MAKERS]
    unseen = blocked[:, maker] | (np.arange(PEOPLE)[:, None] == maker)
    times = BEGIN + DAY * np.sort(chance.uniform(0, 90, (PEOPLE, EVENTS)), 1)
    lengths = np.clip(3 + chance.geometric(0.12, PEOPLE), 4, EVENTS)
    times = ended(times, lengths)
    created = BEGIN + DAY * chance.uniform(-30, 30, POSTS)
    expires = created + DAY * chance.uniform(40, 120, POSTS)

    def moment(event: int, now: Floats, chosen: Rows) -> Floats:
        """Take away what somebody must not be shown, is not written yet, or has expired."""
        there = (created <= now[:, None]) & (now[:, None] <= expires)
        return np.where(there & ~unseen, 0.0, -np.inf)

    made = choose(appeal, times, chance, moment)
    names = np.array([f"person {number}" for number in range(PEOPLE)])
    topics = [[*TOPICS][t] for t in topic]
    titles = [f"{TOPICS[name][n % 4]}, part {n // 4 + 1}" for n, name in enumerate(topics)]
    ids = [f"post {number}" for number in range(POSTS)]
    items = pl.DataFrame({"item": ids, "title": titles, "topic": topics, "maker": names[maker]})
    items = items.with_columns(
        created=pl.from_epoch(pl.Series(created.astype(int))),
        expires=pl.from_epoch(pl.Series(expires.astype(int))),
    )
    friended = [names[row].tolist() for row in friends]
    barred = [names[:MAKERS][row].tolist() for row in blocked]
    users = pl.DataFrame({"user": names, "friends": friended, "blocked": barred})
    log = made.log(users["user"], items["item"], feedback="like")
    return write_made_up(folder, log, items, users, appeal)


def friendships(tastes: Floats, chance: np.random.Generator) -> NDArray[np.bool_]:
    """Draw friendships, (U, U) bool, symmetric: about a dozen a person.

    The log-odds of a friendship are a constant, and :data:`ALIKE` times the product of two
    people's tastes over its standard deviation.
    """
    product = tastes @ tastes.T
    odds = ALIKE * product / product.std() - 5.2
    drawn = np.triu(chance.random(odds.shape) < 1 / (1 + np.exp(-odds)), 1)
    return drawn | drawn.T
