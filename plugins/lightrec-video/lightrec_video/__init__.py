"""Films and series for lightrec."""
