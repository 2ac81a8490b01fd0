"""Runs of lightrec without the run: files for a service, other programs, and lists in batches."""
