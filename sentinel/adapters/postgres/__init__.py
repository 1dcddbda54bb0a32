"""PostgreSQL: one logical database, what its addresses say, how a connection starts and fails."""

from sentinel.adapters.postgres.client import (
    PostgresClient,
    Query,
    Record,
    identifier,
)

__all__ = [
    "PostgresClient",
    "Query",
    "Record",
    "identifier",
]
