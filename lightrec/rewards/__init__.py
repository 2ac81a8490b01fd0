"""Rewards: from a transition to a number."""
