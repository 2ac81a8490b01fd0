"""The time between a user's events, in buckets that double in width."""

from typing import Final

import numpy as np
import numpy.typing as npt

GAP_BUCKETS: Final = 21
"""The highest bucket; 0 stands for a gap that is not known."""

_MINUTE: Final = 60_000  # milliseconds


def gap_buckets(gaps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Sort gaps into buckets: a gap of 10 minutes or 15 means the same, one of a day another.

    Bucket 1 is below a minute, bucket b from 2 to 20 is 2 ** (b - 2) minutes up to twice that, and
    bucket 21 is all from 2 ** 19 minutes on, a day less than a year.

    :param gaps: any shape, int64 milliseconds since the user's event before.
    :returns: the same shape, int64, 1 to :data:`GAP_BUCKETS`.
    """
    minutes = np.maximum(gaps, 0) // _MINUTE
    # The exponent of a float is the number of binary digits, exactly; 0 has none.
    digits = np.frexp(minutes.astype(np.float64))[1]
    return np.minimum(1 + digits, GAP_BUCKETS).astype(np.int64)
