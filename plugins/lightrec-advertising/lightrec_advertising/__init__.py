"""Advertising for lightrec."""
