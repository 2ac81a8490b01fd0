"""Memory that is free within a process, for others."""

import ctypes
import gc
from contextlib import suppress


def give_back() -> None:
    """Give memory that nobody uses any more back to the system, where the C library can.

    glibc keeps what was freed between pieces that are in use: after steps that took much, that may
    be gigabytes, which the next step cannot always use.
    """
    gc.collect()
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
