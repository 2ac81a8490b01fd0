"""More rewards for lightrec: limits, penalties, staying, shaping, and attributes of items."""
