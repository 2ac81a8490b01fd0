"""LightningModules and data modules, one pair for each learned stage."""
