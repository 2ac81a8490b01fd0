"""The agreement of users who choose in words with the held-out choices of a log.

Each choice is put among items that were drawn by their popularity, so that to know what is popular
is of no use. Nothing is known here of how the users choose.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from lightrec.calibration import calibration_error
from lightrec.data.domain import showable
from lightrec.data.sequences import Sequences, padded
from lightrec.data.store import EventStore
from lightrec.errors import DataError
from lightrec.intervals import Interval, mean_interval
from lightrec.users.assessment import maximised, of_alternatives


@dataclass(frozen=True)
class Choices:
    """E held-out choices among C items each.

    :param history: (E, L) int64, padded on the left.
    :param user: (E,) int64, rows of the user table.
    :param items: (E, C) int64; the first one was chosen.
    """

    history: Tensor
    user: Tensor
    items: Tensor

    @classmethod
    def held_out(
        cls, store: EventStore, part: int, events: int, candidates: int, length: int, seed: int
    ) -> Self:
        """Draw events of a part, and for each the other items, by their popularity.

        What may not be shown to the user, or was seen before, is not drawn.

        :param part: VALIDATION or TEST.
        :param events: at most so many.
        :param candidates: C.
        :param length: L.
        :raises DataError: where the part has no event that has so many other items.
        """
        generator = np.random.default_rng((seed, part))
        targets, log = Sequences.targets(store, part), Sequences.all_events(store)
        # More events are drawn after these, and leave them and their other items as they are.
        drawn = generator.permutation(len(targets.items))[:events]
        users, ends = targets.users[drawn], targets.ends[drawn]
        begins = log.offsets[users]
        with np.errstate(divide="ignore"):
            appeal = np.log(store.popularity())
        keys = appeal + generator.gumbel(size=(len(drawn), len(appeal)))
        may = showable(store)(torch.from_numpy(users), torch.from_numpy(ends))
        keys[np.zeros_like(keys, bool) if may is None else ~may.numpy()] = -np.inf
        np.put_along_axis(keys, log.known(begins, ends), -np.inf, 1)
        target = targets.items[drawn].astype(np.int64)[:, None]
        np.put_along_axis(keys, target, np.inf, 1)
        items = np.argsort(-keys, axis=1)[:, :candidates]
        enough = np.isfinite(np.take_along_axis(keys, items[:, 1:], 1)).all(1)
        if not enough.any() or items.shape[1] < candidates:
            raise DataError(
                f"No held-out event of the log can be put among {candidates} items that its user "
                "had not seen: give fewer candidates, or a log with more items."
            )
        history = padded(log.items, begins, ends, length)
        tables = (history, users, items)
        return cls(*(torch.from_numpy(np.asarray(x, np.int64)[enough]) for x in tables))


@dataclass(frozen=True)
class Agreement:
    """The agreement of users who choose among ``candidates`` items, on ``events`` held-out choices.

    Log-likelihoods are means, in nats, of choices given that something was chosen.
    """

    events: int
    candidates: int
    log_likelihood: float
    popularity: float
    """The same of the law ∝ popularity ** α, whose α is fitted to validation choices, too."""
    chance: float
    over_popularity: Interval
    """Gain in log-likelihood; 95 % over events."""
    over_chance: Interval
    accuracy: float
    """Share of choices of the likeliest item; ``popularity_accuracy`` is that of the most popular
    one."""
    popularity_accuracy: float
    calibration_error: float
    """Error of the probabilities of all candidates, 0 to 1."""

    @property
    def may_judge(self) -> bool:
        """Whether the log-likelihood is above popularity's and chance's, with its intervals."""
        return self.over_popularity.low > 0 and self.over_chance.low > 0

    def in_words(self) -> str:
        """Say it in a sentence or two."""

        def over(name: str, gain: Interval) -> str:
            return f"{gain.mean:+.3f} over {name} ({gain.low:+.3f} to {gain.high:+.3f})"

        verdict = "They may judge." if self.may_judge else "To judge, both must be above 0."
        return (
            f"On {self.events:,} held-out choices among {self.candidates} items they have a "
            f"log-likelihood of {self.log_likelihood:.3f} nats, "
            f"{over('popularity', self.over_popularity)} and {over('chance', self.over_chance)}, "
            f"an accuracy of {self.accuracy:.1%} ({self.popularity_accuracy:.1%} by popularity, "
            f"{1 / self.candidates:.1%} by chance) and a calibration error of "
            f"{self.calibration_error:.3f}. {verdict}"
        )

    @classmethod
    def of_plain(cls, values: dict[str, Any]) -> Self:
        """Build it from its values, as ``dataclasses.asdict`` gives them."""
        gains = {name: Interval(*values[name]) for name in ("over_popularity", "over_chance")}
        return cls(**{**values, **gains})


def fitted(law: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """Fit a law's numbers (F,) to choices, whose log-likelihood is to be high.

    :param law: from the numbers to log-probabilities (E, C); the first column was chosen.
    """
    return maximised(lambda numbers: law(numbers)[:, 0].mean(), start.double())


def measured(law: Tensor, popular: Tensor) -> Agreement:
    """Measure laws, log-probabilities (E, C) of which the first column was chosen.

    :param popular: that of popularity.
    """
    events, candidates = law.shape
    law, popular = law.double(), popular.double()
    chance = -math.log(candidates)
    first = torch.zeros(events, dtype=torch.int64)
    likely = law[:, 0]
    right = [float((each.argmax(1) == 0).double().mean()) for each in (law, popular)]
    return Agreement(
        events=events,
        candidates=candidates,
        log_likelihood=float(likely.mean()),
        popularity=float(popular[:, 0].mean()),
        chance=chance,
        over_popularity=mean_interval(likely - popular[:, 0]),
        over_chance=mean_interval(likely - chance),
        accuracy=right[0],
        popularity_accuracy=right[1],
        calibration_error=calibration_error(of_alternatives(law, first, torch.ones(events))),
    )
