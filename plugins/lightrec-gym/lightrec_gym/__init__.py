"""Gymnasium for lightrec: outside agents in simulators, outside environments for learners."""
