"""Recommenders that write: identifiers of items, and decoders that write them."""
