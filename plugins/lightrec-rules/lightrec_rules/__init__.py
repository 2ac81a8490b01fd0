"""Standing rules of a shop and requests in words, for lightrec's lists."""
