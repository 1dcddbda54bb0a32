"""Decisions, and nothing else: no clock, no random, no I/O. `now` is an argument."""
