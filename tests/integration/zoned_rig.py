"""A database whose sessions live in a zone of their own, and runs of kinds over it."""

from __future__ import annotations

import uuid

import psycopg
import redis

from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient


class ZonedRig:
    """Clients of a database with a TimeZone, of a bus; one state per kind, and runs of them."""

    def __init__(self, server, bus, make_context, zone):
        self._server, self._make, self.name = server, make_context, f"z{uuid.uuid4().hex[:8]}"
        self.roles, self.states = [], {}
        with psycopg.connect(server.dsn(), autocommit=True) as db:
            db.execute(f"CREATE DATABASE {self.name}")
            if zone:
                db.execute(f"ALTER DATABASE {self.name} SET timezone = '{zone}'")
        self.db = self.connect()
        self.raw = redis.Redis(port=bus.port)
        self.clients = {
            "database": PostgresClient("database", server.dsn(self.name)),
            "bus": RedisClient("bus", bus.url),
        }
        self.clients["resource"] = self.clients["database"]

    def connect(self, user="postgres"):
        return psycopg.connect(self._server.dsn(self.name, user), autocommit=True)

    def add_role(self, name, zone=None):
        """A role that may write everything, whose sessions live in a zone."""
        role = f"{name}_{self.name}"
        self.roles.append(role)
        self.db.execute(f"CREATE ROLE {role} LOGIN")
        self.db.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
        self.db.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}")
        if zone:
            self.db.execute(f"ALTER ROLE {role} SET timezone = '{zone}'")
        return role

    def live_in(self, zone):
        """Let our session, as any client may, choose another zone: no catalog tells."""
        self.db.execute(f"SET timezone = '{zone}'")

    async def run(self, kind, document, check=""):
        state = self.states.setdefault(check or kind.name, kind.load_state(None))
        clients = {name: self.clients[name] for name in kind.resources}
        options = kind.options.model_validate(document)
        return await kind.run(options, self._make(clients, state))

    async def close(self):
        for name in ("database", "bus"):
            await self.clients[name].close()
        self.db.close()
        self.raw.close()
        with psycopg.connect(self._server.dsn(), autocommit=True) as db:
            db.execute(f"DROP DATABASE {self.name} WITH (FORCE)")
            for role in self.roles:
                db.execute(f"DROP ROLE {role}")
