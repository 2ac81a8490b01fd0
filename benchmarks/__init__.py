"""Measured claims: cells as data in ``cells/``, one runner, results in ``results/``."""

import sys
from pathlib import Path

LIGHTREC = str(Path(sys.executable).parent / "lightrec")
"""The command, of the same environment."""
