"""Losses of policies over candidates that TorchRL does not have, or not for candidates.

A loss reads a batch of transitions, whose actions are columns of logits ``(B, C)``, and gives what
starts with ``loss``, to be stepped on, next to diagnostics.
"""
