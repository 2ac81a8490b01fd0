"""Measured claims. Each module is one benchmark: `make bench NAME=ranking`."""
