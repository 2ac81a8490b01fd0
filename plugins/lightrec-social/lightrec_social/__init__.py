"""Social networks for lightrec."""
