"""Investments for lightrec: suitability, prices that move on, and a reward after risk."""
