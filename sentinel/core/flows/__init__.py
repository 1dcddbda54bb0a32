"""Flows: is each where it should be by now, and if not, since when and why. Pure."""
