"""Recommenders with a formula: what a trained model has to beat, and what it is blended with."""
