"""Shared neural blocks: history encoders, discrete choice, Plackett–Luce."""
