"""Imitation in CartPole beside the package `imitation`: `make bench NAME=imitation`."""
