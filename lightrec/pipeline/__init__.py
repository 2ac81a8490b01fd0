"""Running all stages in order, and reporting what came out."""
