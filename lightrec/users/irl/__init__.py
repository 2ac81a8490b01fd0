"""Inverse reinforcement learning: from what people chose to what they want."""
