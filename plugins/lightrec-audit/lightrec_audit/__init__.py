"""What one asks of a recommender before trusting it: why, for whom, and what would break it."""
