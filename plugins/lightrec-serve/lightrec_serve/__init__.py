"""Serving: an HTTP service for a run or an export, its store, its page, and exports."""
