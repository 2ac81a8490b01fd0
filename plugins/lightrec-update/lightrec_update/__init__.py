"""New versions of a run of lightrec: made from what has happened since, listed, promoted."""
