"""Simulators: batched environments of users, and the worlds whose truth is known."""
