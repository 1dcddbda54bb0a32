"""Agents: who is registered, beats, listens, works; and who only seems to. Pure."""
