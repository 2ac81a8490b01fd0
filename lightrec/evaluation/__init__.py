"""Evaluation: logs and sessions into metrics with intervals."""
