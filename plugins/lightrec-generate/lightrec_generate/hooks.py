"""What this package adds to lightrec."""

LIGHTREC_API = 1
