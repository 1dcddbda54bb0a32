"""What is made of a configuration as it stands: clients of resources, restraint of actions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sentinel.adapters.http.client import HttpClient
from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.config import Configuration, Resource
from sentinel.engine.automation import Restraint


class Clients(Mapping[str, Any]):
    """The client of each resource by name: one value that everybody who asks servers reads.

    It follows the configuration: what changed is connected anew, what is gone is closed.
    """

    def __init__(self, resources: Mapping[str, Resource]) -> None:
        self._resources = dict(resources)
        self._clients = {name: make_client(item) for name, item in resources.items()}

    def __getitem__(self, name: str) -> Any:
        return self._clients[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._clients)

    def __len__(self) -> int:
        return len(self._clients)

    async def follow(self, resources: Mapping[str, Resource]) -> None:
        """Take the resources of another configuration."""
        known = self._resources
        changed = {name: item for name, item in resources.items() if known.get(name) != item}
        made = {name: make_client(item) for name, item in changed.items()}
        for name, client in made.items():
            if isinstance(client, HttpClient) and isinstance(self.get(name), HttpClient):
                client.succeed(self._clients[name])
        former = [name for name, item in known.items() if resources.get(name) != item]
        closed = [self._clients.pop(name) for name in former]
        self._clients.update(made)
        self._resources = dict(resources)
        for client in closed:
            await client.close()

    async def close(self) -> None:
        """Let go of every connection."""
        for client in self._clients.values():
            await client.close()


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


def restraint_of(configuration: Configuration) -> Restraint:
    """What holds actions back, as it is configured."""
    return Restraint(
        configuration.actions_enabled,
        configuration.limits,
        configuration.brake,
        configuration.breaker,
    )
