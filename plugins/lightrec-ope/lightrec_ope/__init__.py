"""Off-policy evaluation for lightrec: what a policy would earn, from another one's log."""
