"""What a researcher compares with lightrec's own learners."""
