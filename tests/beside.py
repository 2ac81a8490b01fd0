"""Tests that a package beside the core is needed for."""

from importlib.util import find_spec

import pytest


def needs(package: str) -> pytest.MarkDecorator:
    """Leave a test out where a package, such as ``audit``, is not installed."""
    missing = find_spec(f"lightrec_{package}") is None
    return pytest.mark.skipif(missing, reason=f"lightrec-{package} is not installed")
