"""Stages: the graph of a run, training, recipes and tuning."""
