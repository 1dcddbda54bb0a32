"""The page, the API and /metrics on their address."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime

from sentinel.adapters.network.served_tls import ServedCertificate
from sentinel.app.calendar import REPORTS
from sentinel.config import Configuration
from sentinel.core.access import AccessRules
from sentinel.core.foreign.host import HostName
from sentinel.errors import PortInUse
from sentinel.metrics import Metrics
from sentinel.store import Reader
from sentinel.store.tokens import read_tokens
from sentinel.web.app import make_app
from sentinel.web.desk import Desk
from sentinel.web.door import DoorGuard
from sentinel.web.exposition import Settle, keep_nothing
from sentinel.web.guard import listen_hosts
from sentinel.web.live.channel import Feed
from sentinel.web.page import OpenPage, open_page
from sentinel.web.refusals import DoorRefusal
from sentinel.web.views.known import NOTHING_KNOWN, Known

_NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


async def listen(
    configuration: Callable[[], Configuration],
    store: Reader,
    metrics: Metrics,
    ready: Callable[[], tuple[bool, str]],
    utcnow: Callable[[], datetime],
    settle: Settle = keep_nothing,
    runbooks: Callable[[str], str | None] = lambda _name: None,
    desk: Desk | None = None,
    certificate: ServedCertificate | None = None,
    known: Known = NOTHING_KNOWN,
    feed: Feed | None = None,
) -> OpenPage:
    """Serve until the page is closed; ages are counted by `utcnow`, the clock of what is shown.
    `configuration` gives the one in force, `runbooks(name)` the text of one, `settle()` writes what
    totals were counted, `known` is what the configuration tells, `feed` tells what changes.
    PortInUse when the address can't be had. `desk` takes the orders of who may give them; with a
    `certificate` the page is TLS.
    """
    sockets = bind(configuration())
    host, port = configuration().listen[0], sockets[0].getsockname()[1]
    own = listen_hosts(host, port)

    def served() -> Sequence[HostName]:
        return (*own, *configuration().trusted_hosts)

    exposed, encrypted = configuration().access.rules.exposed, certificate is not None

    def rules() -> AccessRules:
        """Address and TLS are those of the start: a reload moves neither."""
        return replace(configuration().access.rules, exposed=exposed, encrypted=encrypted)

    state = configuration().state
    application = make_app(
        store,
        metrics=metrics.pieces,
        ready=ready,
        now=utcnow,
        runbooks=runbooks,
        reports=state / REPORTS,
        hosts=served,
        settle=settle,
        rules=rules,
        tokens=lambda: read_tokens(state),
        desk=desk,
        feed=feed,
        known=known,
    )
    for why in DoorRefusal:  # at zero, so that `rate()` sees the first one
        metrics.page_refused.labels(why.value)
    return await open_page(
        application,
        host,
        sockets,
        count=lambda why: metrics.page_refused.labels(why).inc(),
        raised=metrics.swallowed.labels("page").inc,
        guard=DoorGuard(
            lambda: None if certificate is None else certificate.context,
            lambda address: rules().may_connect(address),
        ),
    )


def bind(configuration: Configuration) -> list[socket.socket]:
    """A bound socket for each address. `localhost` has two, where this system has IPv6; both have
    the same port, or none is taken. PortInUse when it can't be had.
    """
    host, port = configuration.listen
    names = ["127.0.0.1", "::1"] if host == "localhost" else [host]
    bound: list[socket.socket] = []
    with ExitStack() as undo:
        for name in names:
            family = socket.AF_INET6 if ":" in name else socket.AF_INET
            try:
                each = undo.enter_context(socket.create_server((name, port), family=family))
            except OSError as error:
                if bound and error.errno in _NOT_HERE:
                    continue
                raise PortInUse(
                    f"{configuration.listen_place}: listen: can't listen on {host}:{port}:"
                    f" {error.strerror}",
                    "stop what listens there, or choose another port with `listen:` or"
                    " SENTINEL_LISTEN",
                ) from error
            bound.append(each)
            port = each.getsockname()[1]
        undo.pop_all()
    return bound
