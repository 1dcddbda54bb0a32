"""Judgements about single servers and processes. Pure."""
