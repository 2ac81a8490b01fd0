"""Encoders: text into vectors."""
