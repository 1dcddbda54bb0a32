"""What both the daemon and a single run need: clients from resources, the clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sentinel.adapters.http import HttpClient
from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.config import Resource


def utcnow() -> datetime:
    """Aware UTC."""
    return datetime.now(UTC)


def make_client(resource: Resource) -> Any:
    """The client of a resource; it connects when it is first used."""
    password = resource.password.get_secret_value() if resource.password else None
    if resource.type == "redis":
        return RedisClient(resource.name, resource.address, password=password, **resource.options)
    if resource.type == "postgres":
        return PostgresClient(
            resource.name, resource.address, password=password, **resource.options
        )
    return HttpClient(resource.name, resource.address, **resource.options)
