"""What lightrec-hello adds to lightrec."""
