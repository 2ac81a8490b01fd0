"""Memory that is free within a process, for others."""

import ctypes
from contextlib import suppress


def give_back() -> None:
    """Give memory that was freed back to the system, where the C library can, in microseconds.

    glibc keeps what was freed between pieces that are in use: after steps that took much, that may
    be gigabytes, which the next step cannot always use.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
