"""The commands, one module each; parsing only."""
