"""Logs, catalogs and users: reading, preparing, and the memory-mapped form of a prepared log."""
