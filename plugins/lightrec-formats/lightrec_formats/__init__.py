"""Logs in formats of other programs: databases and RecBole's files."""
