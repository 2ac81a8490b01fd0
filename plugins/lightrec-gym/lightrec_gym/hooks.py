"""What this package adds to lightrec: nothing by name; `lightrec_gym.environments` is imported."""

LIGHTREC_API = 2
