"""An encoder, a reward and a domain for lightrec."""
