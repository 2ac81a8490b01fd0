"""Learners: how policies learn, on policy, from a replay buffer, and by imitation."""
