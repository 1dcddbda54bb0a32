"""Judgements about the isolation of tenants. Pure."""
