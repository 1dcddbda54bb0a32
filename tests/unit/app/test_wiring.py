"""Clients follow the configuration."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.app.wiring import Clients
from sentinel.config import Resource
from sentinel.core.servers.pace import RequestBudget
from sentinel.errors import NotMeasurable


async def test_a_reload_gives_no_requests_back() -> None:
    """F7: another budget, a check more: what was sent is spent; another address begins anew."""
    api = Resource("api", "http", "http://127.0.0.1:9", options={"budget": RequestBudget(1, 60.0)})
    clients = Clients({"api": api})
    clients["api"]._spend()
    again = replace(api, options={"budget": RequestBudget(1, 60.0, 1, 1)})
    await clients.follow({"api": again})
    with pytest.raises(NotMeasurable, match="request budget spent"):
        clients["api"]._spend()
    await clients.follow({"api": replace(again, address="http://127.0.0.1:10")})
    clients["api"]._spend()
    await clients.close()
