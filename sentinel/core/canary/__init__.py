"""Canaries: letters of our own through the bus, what became of each, and what that proves. Pure."""
