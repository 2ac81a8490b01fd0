"""Logs in formats of other programs: databases, RecBole's files, published and synthetic sets."""
