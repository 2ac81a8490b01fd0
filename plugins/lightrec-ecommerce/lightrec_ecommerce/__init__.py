"""Online shops for lightrec: kinds of events, revenue, baskets and public logs."""
