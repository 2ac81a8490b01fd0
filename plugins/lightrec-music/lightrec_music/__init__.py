"""Music for lightrec."""
