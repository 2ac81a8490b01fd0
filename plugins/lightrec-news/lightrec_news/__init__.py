"""News for lightrec."""
