"""Imitation: policies that learn from demonstrations in a simulator."""
