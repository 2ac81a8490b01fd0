"""Policies: how fast and how exactly slates are drawn: `make bench NAME=policies`."""
