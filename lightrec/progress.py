"""The progress bar of all that takes long."""

import sys
from typing import Any

from tqdm.auto import tqdm


def progress_bar(total: int, unit: str, **settings: Any) -> "tqdm[Any]":
    """A bar on standard error that counts units; ``settings`` are further ones of ``tqdm``."""
    # A file gets a line now and then, a terminal a bar that moves.
    interval = 0.2 if sys.stderr.isatty() else 15
    return tqdm(total=total, unit=unit, leave=True, mininterval=interval, **settings)
