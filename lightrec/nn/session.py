"""The keys that a session adds to those of :class:`lightrec.keys.Key`.

Simulators write them; policies and modules read them.
"""

from typing import Final


class SessionKey:
    """Keys of a session's state (B sessions)."""

    STEP: Final = "step"
    """(B, 1) int64: slates shown so far."""
    ACCEPTED: Final = "accepted"
    """(B, 1) float32: 1 where something was accepted in the last step, else 0."""
    ACCEPTED_TOTAL: Final = "accepted_total"
    """(B, 1) float32: items accepted so far."""
    SESSION: Final = "session"
    """(B, 1) int64: the number from which all of a session's chance is computed."""
