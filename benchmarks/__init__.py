"""Figures that a test must not assert: what sentinel costs and how fast it is, measured side by
side with peers.
"""
