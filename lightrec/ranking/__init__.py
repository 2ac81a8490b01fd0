"""Ranking: the ranker and its LightningModule, item models, their blend, and ranking metrics."""
