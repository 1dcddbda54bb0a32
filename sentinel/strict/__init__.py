"""Strict reading of what people write: YAML with its places, and the types of its values."""
