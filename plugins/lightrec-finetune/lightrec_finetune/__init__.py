"""Upper layers of text encoders, adapters in them, or the whole model, tuned on a log."""
