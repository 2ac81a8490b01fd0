"""How every library is judged: full ranking of held-out items, and the CPU seconds of training.

Runs in each peer's own environment: NumPy and the standard library only, nothing of lightrec. The
tests hold it against ``lightrec.ranking.metrics``.
"""

import json
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

THRESHOLD = 0.09
CUTOFF = 10
BATCH = 256
CAP = "600"
"""CPU seconds of training after which a peer is stopped, as its runner's argument."""
TRAINER = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
"""Settings of Lightning's trainer under which nothing is written and nothing said."""

Histories = Sequence[np.ndarray]
Scorer = Callable[[np.ndarray, Histories], np.ndarray]
"""From users (B,) and their histories (B arrays of items, oldest first) to scores (B, N)."""


class Split:
    """A log as ``export.py`` wrote it; items are 0 to N - 1.

    :param path: of the .npz file.
    """

    def __init__(self, path: str | Path) -> None:
        with np.load(path) as file:
            self.num_items = int(file["num_items"])
            self.items, self.offsets = file["train_items"], file["train_offsets"]
            self.validation, self.test = file["validation"], file["test"]
        self.num_users = len(self.offsets) - 1
        self.train = [
            self.items[a:b] for a, b in zip(self.offsets[:-1], self.offsets[1:], strict=True)
        ]

    @property
    def users(self) -> np.ndarray:
        """(E,) the user of each training event, in the order of ``items``."""
        return np.repeat(np.arange(self.num_users), np.diff(self.offsets))

    def held_out(self, part: str) -> tuple[Histories, np.ndarray]:
        """What is known before each held-out item, and the items (U,); -1 where there is none.

        :param part: ``validation``, or ``test``, whose histories end with the validation item.
        """
        if part == "validation":
            return self.train, self.validation
        pairs = zip(self.train, self.validation, strict=True)
        return [np.append(train, item) if item >= 0 else train for train, item in pairs], self.test

    def judge(self, score: Scorer, part: str) -> dict[str, float]:
        """Rank all items for each held-out one, those in the history left out."""
        histories, targets = self.held_out(part)
        users = np.flatnonzero(targets >= 0)
        ranks = []
        for start in range(0, len(users), BATCH):
            batch = users[start : start + BATCH]
            known = [histories[user] for user in batch]
            ranks.append(mean_ranks(score(batch, known), targets[batch], known))
        return ranking_metrics(np.concatenate(ranks))


def mean_ranks(scores: np.ndarray, target: np.ndarray, seen: Histories) -> np.ndarray:
    """Rank each row's target among the items not seen; equal scores share their mean rank.

    :param scores: (B, N), higher is better.
    :param target: (B,); takes part even where it is among the seen.
    :param seen: items that do not take part.
    """
    if np.isnan(scores).any():
        raise ValueError("Some scores are not numbers (NaN).")
    allowed = np.ones(scores.shape, dtype=bool)
    for row, items in enumerate(seen):
        allowed[row, items] = False
    allowed[np.arange(len(target)), target] = True
    own = scores[np.arange(len(target)), target][:, None]
    above = ((scores > own) & allowed).sum(axis=1)
    equal = ((scores == own) & allowed).sum(axis=1)
    return above + (equal + 1) / 2


def ranking_metrics(ranks: np.ndarray, cutoff: int = CUTOFF) -> dict[str, float]:
    """Mean NDCG and recall with one relevant item at each rank."""
    inside = ranks <= cutoff
    gain = np.where(inside, 1 / np.log2(1 + ranks), 0.0)
    return {f"ndcg@{cutoff}": float(gain.mean()), f"recall@{cutoff}": float(inside.mean())}


def last(histories: Histories, length: int, padding: int, shift: int = 0) -> np.ndarray:
    """(B, length) int64, the last items plus ``shift``, padded on the left."""
    table = np.full((len(histories), length), padding, dtype=np.int64)
    for row, items in enumerate(histories):
        kept = items[-length:]
        if len(kept):
            table[row, -len(kept) :] = kept + shift
    return table


class Ended(Exception):
    """Training should end, and the library has no other way to be told."""


class Clock:
    """CPU seconds of training, without what happens while the clock stands."""

    def __init__(self) -> None:
        self.cpu_seconds, self.since = 0.0, None

    def start(self) -> None:
        """Let the clock run, from when the model is built or training goes on."""
        self.since = time.process_time()

    def pause(self) -> None:
        """Stop the clock, unless it stands."""
        if self.since is not None:
            self.cpu_seconds += time.process_time() - self.since
            self.since = None


class Returns(Clock):
    """One training of a policy: the mean returns of fresh episodes, judged with the clock stopped.

    :param goal: mean return at which training ends.
    :param limit: CPU seconds of training after which it ends in any case.
    """

    def __init__(self, goal: float, limit: float) -> None:
        super().__init__()
        self.goal, self.limit = goal, limit
        self.course: list[tuple[float, int, float]] = []
        self.start()

    def judged(self, steps: int, reached: float) -> bool:
        """Note a mean return after so many steps; True where training should end."""
        self.course.append((round(self.cpu_seconds, 2), steps, round(reached, 1)))
        print(*self.course[-1], flush=True)
        self.start()
        return reached >= self.goal or self.cpu_seconds >= self.limit

    def found(self) -> dict[str, object]:
        """What was found; no seconds of training where the goal was not reached."""
        seconds, steps, reached = self.course[-1]
        return {
            "training_cpu_seconds": seconds if reached >= self.goal else None,
            "stopped_after_cpu_seconds": seconds,
            "steps": steps,
            "return": reached,
            "best_return": max(row[2] for row in self.course),
            "course": self.course,
        }


class Course(Clock):
    """One training: CPU seconds without evaluation, validation after each epoch, test at the best.

    :param split: of the log.
    :param patience: epochs without a better validation NDCG after which training ends.
    :param max_epochs: after which it ends in any case.
    :param max_cpu_seconds: of training after which it ends at the next epoch's end.
    """

    def __init__(
        self,
        split: Split,
        patience: int = 10,
        max_epochs: int = 200,
        max_cpu_seconds: float = float(CAP),
    ) -> None:
        super().__init__()
        self.split, self.patience = split, patience
        self.max_epochs, self.max_cpu_seconds = max_epochs, max_cpu_seconds
        self.curve: list[tuple[float, float]] = []
        self.best: dict[str, float] = {}
        self.ended = ""

    def epoch(self, score: Scorer) -> bool:
        """Validate after an epoch, with the clock stopped; True where training should end."""
        self.pause()
        found = self.split.judge(score, "validation")[f"ndcg@{CUTOFF}"]
        self.curve.append((round(self.cpu_seconds, 2), round(found, 5)))
        if found > self.best.get(f"validation/ndcg@{CUTOFF}", -1.0):
            self.best = {f"validation/ndcg@{CUTOFF}": found, "best_epoch": len(self.curve)}
            self.best |= self.split.judge(score, "test")
        print(
            f"epoch {len(self.curve)}: {self.cpu_seconds:.1f} CPU s, validation {found:.4f}",
            flush=True,
        )
        if self.cpu_seconds >= self.max_cpu_seconds:
            self.ended = f"{self.max_cpu_seconds:g} CPU seconds"
        elif len(self.curve) >= self.max_epochs:
            self.ended = f"{self.max_epochs} epochs"
        elif len(self.curve) - self.best["best_epoch"] >= self.patience:
            self.ended = f"{self.patience} epochs without a better validation"
        self.start()
        return bool(self.ended)

    def write(self, path: str | Path, settings: dict[str, object], packages: Sequence[str]) -> None:
        """Write what was found as JSON, flat."""
        reached = [seconds for seconds, value in self.curve if value >= THRESHOLD]
        found = {
            **self.best,
            "cpu_seconds_to_.090": reached[0] if reached else None,
            "cpu_seconds_to_best": self.curve[self.best["best_epoch"] - 1][0],
            "cpu_seconds_per_epoch": round(self.cpu_seconds / max(len(self.curve), 1), 3),
            "ended": self.ended or "its own schedule",
            "curve": self.curve,
            "settings": settings,
        }
        write(path, found, packages)


def write(path: str | Path, found: dict[str, object], packages: Sequence[str]) -> None:
    """Write what was found as JSON, with the versions of Python and of packages."""
    versions = {name: version(name) for name in packages}
    found = {**found, "python": platform.python_version(), "versions": versions}
    Path(path).write_text(json.dumps(found))
