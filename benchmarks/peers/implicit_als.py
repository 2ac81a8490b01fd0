"""Alternating least squares of `implicit`, run by the Python of its environment.

The library's defaults (regularization 0.01, alpha 1) but for the width; an epoch is one iteration.
A user's vector is computed anew from the history before the held-out item.
"""

import contextlib
import sys

import numpy as np
from implicit.als import AlternatingLeastSquares
from protocol import CAP, Course, Ended, Split
from scipy import sparse

SETTINGS = {"factors": 64, "regularization": 0.01, "alpha": 1.0}


def main(path: str, out: str, seed: str, cap: str = CAP) -> None:
    """Train and write what was found."""
    split = Split(path)
    course = Course(split, max_epochs=50, max_cpu_seconds=float(cap))
    model = AlternatingLeastSquares(
        **SETTINGS, iterations=course.max_epochs, num_threads=1, random_state=int(seed)
    )

    def matrix(users: np.ndarray, items: np.ndarray, rows: int) -> sparse.csr_matrix:
        values = np.ones(len(items), dtype=np.float32)
        return sparse.csr_matrix((values, (users, items)), (rows, split.num_items))

    def score(users, histories):
        rows = np.repeat(np.arange(len(users)), [len(items) for items in histories])
        known = matrix(rows, np.concatenate(histories), len(users))
        # Its cached YᵀY is of the iteration before.
        model._YtY = None
        vectors = model.recalculate_user(np.arange(len(users)), known)
        return vectors @ model.item_factors.T

    def judge(iteration: int, seconds: float, loss: float | None) -> None:
        if course.epoch(score):
            raise Ended

    course.start()
    with contextlib.suppress(Ended):
        model.fit(matrix(split.users, split.items, split.num_users), False, callback=judge)
    course.write(out, SETTINGS, ["implicit", "numpy", "scipy"])


if __name__ == "__main__":
    main(*sys.argv[1:])
