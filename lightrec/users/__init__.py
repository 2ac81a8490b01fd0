"""User models: what people choose, when they leave and return, and what they want."""
