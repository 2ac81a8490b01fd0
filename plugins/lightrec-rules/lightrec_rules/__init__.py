"""Standing rules of a shop and wishes in words, for lightrec's lists."""
