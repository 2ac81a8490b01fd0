"""The search for a stage's best settings, for lightrec."""
