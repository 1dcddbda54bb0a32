"""Processes of this machine: held, run once, found by a mark, their output bounded, their figures read."""
