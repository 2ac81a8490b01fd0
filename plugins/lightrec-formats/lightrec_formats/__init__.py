"""Logs in formats of other programs: databases, RecBole's files, published and made-up sets."""
