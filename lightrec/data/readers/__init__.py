"""Readers: from files in many formats to a log, a catalog and a user table."""
