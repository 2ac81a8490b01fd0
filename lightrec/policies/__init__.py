"""Policies: from a state to a slate."""
