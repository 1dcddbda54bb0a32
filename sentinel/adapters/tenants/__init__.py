"""Tenants in PostgreSQL: what the catalogue says, and what is tried."""
