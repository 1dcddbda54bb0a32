"""Who calls, and whether they may: by token, by session, by the word of a trusted proxy, or by being
on this machine. One middleware, before every page.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from sentinel.core.access import (
    NOBODY,
    AccessRules,
    AccessScope,
    AccessToken,
    Caller,
    CallerKind,
    Guesses,
    find_token,
)
from sentinel.core.foreign.visible import make_visible
from sentinel.errors import SentinelError, StateError
from sentinel.store.document import write_instant
from sentinel.web.readers import Readers
from sentinel.web.refusals import DoorRefusal
from sentinel.web.shared import Shared
from sentinel.web.visitor import Visitor

SESSION = timedelta(hours=12)
LOOK_AGAIN = 1.0
"""Seconds for which what was read of the tokens counts: then a revoked one is found."""
MAX_USER = 120
SAFE = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
_CALLER: ContextVar[Caller] = ContextVar("caller", default=NOBODY)
_KEY = 32
_MOST_SECRET = 512


class AccessDenied(SentinelError):
    """Somebody may not: the status and, where it is no plain lack of rights, why it is counted."""

    def __init__(self, status: int, message: str, why: DoorRefusal | None = None) -> None:
        super().__init__(message)
        self.status, self.why = status, why


def present_caller() -> Caller:
    """Who asks for the page that is being made: for templates and for the audit log."""
    return _CALLER.get()


@contextmanager
def calling(caller: Caller) -> Iterator[None]:
    """Everything in the block is done for this caller."""
    before = _CALLER.set(caller)
    try:
        yield
    finally:
        _CALLER.reset(before)


class Keeper:
    """Knows who calls. `rules` and `tokens` are asked anew: a reload, or a person, changes them.

    `needs` has the scope of each route by method and path. `used` has by name when each token was
    used last, to the minute.
    """

    def __init__(
        self,
        needs: Mapping[tuple[str, str], AccessScope],
        rules: Callable[[], AccessRules],
        tokens: Callable[[], tuple[AccessToken, ...]],
        readers: Readers,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        async def read() -> tuple[AccessToken, ...]:
            return await readers.call(tokens)

        self.rules, self.used = rules, dict[str, str]()
        self._needs, self._now, self._monotonic = needs, now, monotonic
        self._tokens = Shared(read, LOOK_AGAIN, monotonic)
        self._guesses, self._known = Guesses(), frozenset[str]()
        self._key = secrets.token_bytes(_KEY)

    def find_need(self, request: web.Request) -> AccessScope:
        """The scope that a request needs: to know that there is no such page, that of reading. A
        route that nobody declared is for nobody but an admin.
        """
        resource = request.match_info.route.resource
        if resource is None:
            return AccessScope.READ
        method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
        return self._needs.get((method, resource.canonical), AccessScope.ADMIN)

    async def identify(self, request: web.Request) -> Caller:
        """Who calls; NOBODY when nothing tells. Raises AccessDenied for what is wrong."""
        rules, peer = self.rules(), find_peer(request)
        user = _find_user(request, rules, peer)
        if user:
            return Caller(CallerKind.PROXY, rules.user_scope, user)
        secret = _find_bearer(request)
        if secret:
            return _as_caller(await self.check_secret(secret, peer), CallerKind.TOKEN)
        session = await self._find_session(request)
        if session is not None:
            return _as_caller(session, CallerKind.SESSION)
        return rules.find_local(peer) or NOBODY

    async def still_may(self, request: web.Request, needed: AccessScope) -> bool:
        """Whether who sent a request some time ago would be let in now."""
        try:
            check_scope(await self.identify(request), needed)
        except AccessDenied:
            return False
        return True

    async def check_secret(self, secret: str, peer: str) -> AccessToken:
        """The token of a secret. Raises AccessDenied: also for a right one that was never seen here,
        from where too many wrong ones came.
        """
        token = find_token(await self._read_tokens(), secret, self._now())
        if token is not None and token.digest in self._known:
            return self._note_use(token)
        if self._guesses.is_over(peer, self._monotonic()):
            message = "too many wrong tokens came from this address: wait a minute"
            raise AccessDenied(429, message, DoorRefusal.THROTTLED)
        if token is None:
            self._guesses.note(peer, self._monotonic())
            message = "there is no such token, or it is over"
            raise AccessDenied(401, message, DoorRefusal.WRONG_TOKEN)
        return self._note_use(token)

    def _note_use(self, token: AccessToken) -> AccessToken:
        self._known |= {token.digest}
        self.used[token.name] = write_instant(self._now().replace(second=0, microsecond=0))
        return token

    async def _read_tokens(self) -> tuple[AccessToken, ...]:
        try:
            tokens = await self._tokens.get()
        except StateError as error:
            message = "the tokens of this sentinel can't be read: `sentinel token list` says why"
            raise AccessDenied(503, message) from error
        self._known &= {each.digest for each in tokens}
        return tokens

    # -- sessions ----------------------------------------------------------------------------------

    def open_session(
        self, request: web.Request, response: web.Response, token: AccessToken
    ) -> None:
        """Let a browser come again without its token. The key of sessions is that of this process:
        the next start of sentinel has another, and asks for tokens again.
        """
        ends = self._now() + SESSION
        ends = ends if token.expires is None else min(ends, token.expires)
        expiry = int(ends.timestamp())
        response.set_cookie(
            self.name_cookie(request),
            f"{expiry}.{self._sign(token, expiry)}",
            max_age=max(1, expiry - int(self._now().timestamp())),
            path="/",
            httponly=True,
            secure=self.is_secure(request),
            samesite="Strict",
        )

    def close_session(self, request: web.Request, response: web.Response) -> None:
        """Have the browser forget it."""
        response.set_cookie(
            self.name_cookie(request),
            "",
            max_age=0,
            path="/",
            httponly=True,
            secure=self.is_secure(request),
            samesite="Strict",
        )

    async def _find_session(self, request: web.Request) -> AccessToken | None:
        said = request.cookies.get(self.name_cookie(request), "")
        expiry, _, signature = said.partition(".")
        if not (expiry.isdigit() and len(expiry) < 15 and signature and said.isascii()):
            return None
        now = self._now()
        if int(expiry) <= now.timestamp():
            return None
        for token in await self._read_tokens():
            wanted = self._sign(token, int(expiry))
            if hmac.compare_digest(signature.encode(), wanted.encode()) and not token.is_over(now):
                return self._note_use(token)
        return None

    def _sign(self, token: AccessToken, expiry: int) -> str:
        """Bound to the secret: a token of the same name that is made later is another one."""
        said = f"{token.name}\n{token.digest}\n{expiry}".encode()
        return hmac.digest(self._key, said, "sha256").hex()

    def is_secure(self, request: web.Request) -> bool:
        """Whether the browser speaks TLS: with us, or with a proxy that we trust."""
        by_proxy = self.rules().is_proxy(find_peer(request))
        return request.secure or (
            by_proxy and request.headers.get("X-Forwarded-Proto", "").lower() == "https"
        )

    def name_cookie(self, request: web.Request) -> str:
        """Browsers keep cookies by host, not by port: two sentinels of a host have two."""
        if self.is_secure(request):
            return f"__Host-sentinel-{find_port(request)}"
        return f"sentinel-{find_port(request)}"


KEEPER: web.AppKey[Keeper] = web.AppKey("keeper", Keeper)


def check_scope(caller: Caller, needed: AccessScope) -> None:
    """Raises AccessDenied: 401 where a token would help, 403 where another one would."""
    if caller.scope.covers(needed):
        return
    if caller.kind is CallerKind.LOOPBACK:
        raise AccessDenied(401, f"this needs a token with the scope {needed}")
    raise AccessDenied(403, f"this needs the scope {needed}, and {caller.who} has {caller.scope}")


def check_origin(request: web.Request, caller: Caller, is_served: Callable[[str], bool]) -> None:
    """Raises AccessDenied for what a page of somebody else has a browser send, and for what a
    browser may send for one: where it says by itself who calls, it has to say from which page.
    """
    if request.method in SAFE:
        return
    origins, fetched = request.headers.getall("Origin", []), request.headers.get("Sec-Fetch-Site")
    hosts = map(_find_host, origins)
    is_foreign = fetched not in {None, "same-origin"} or not all(map(is_served, hosts))
    is_unsaid = fetched is None and not origins
    if is_foreign or (is_unsaid and caller.kind in {CallerKind.SESSION, CallerKind.PROXY}):
        message = "this may be sent by pages of sentinel only, or with a token as `Authorization`"
        raise AccessDenied(403, message, DoorRefusal.CROSS_SITE)


def _find_host(origin: str) -> str:
    """Which host an `Origin` names; "" for none."""
    try:
        return urlsplit(origin).netloc if origin.isascii() else ""
    except ValueError:  # a bracket that is not closed
        return ""


def note_denial(request: web.Request, denied: AccessDenied) -> None:
    """Count what is more than a lack of rights."""
    if denied.why is not None and isinstance(request.protocol, Visitor):
        request.protocol.note(denied.why)


def find_peer(request: web.Request) -> str:
    """The address at the other end of the connection: what headers say of it counts nowhere."""
    if isinstance(request.protocol, Visitor):
        return request.protocol.address
    return request.remote or ""


def find_port(request: web.Request) -> int:
    """The port that was connected to; 0 when the connection has gone."""
    name = None if request.transport is None else request.transport.get_extra_info("sockname")
    return int(name[1]) if name else 0


def find_own_host(request: web.Request) -> str:
    """The very address and port that were connected to, as `Host` names them: no name that somebody
    rebinds to us looks like that.
    """
    name = None if request.transport is None else request.transport.get_extra_info("sockname")
    if not name:
        return ""
    host = str(name[0]).partition("%")[0]
    return f"[{host}]:{name[1]}" if ":" in host else f"{host}:{name[1]}"


def _find_user(request: web.Request, rules: AccessRules, peer: str) -> str:
    """Whom a trusted proxy names, "" for nobody. The header means nothing where no proxy is
    trusted, and is a forgery where it comes from elsewhere.
    """
    given = request.headers.getall(rules.user_header, []) if rules.proxies else []
    if given and not rules.is_proxy(peer):
        message = f"{rules.user_header} comes from an address that is not in `trusted_proxies`"
        raise AccessDenied(403, message, DoorRefusal.FORGED_USER)
    if len(given) > 1:
        message = f"{rules.user_header} is there more than once: the proxy must replace it"
        raise AccessDenied(400, message, DoorRefusal.FORGED_USER)
    user = " ".join(make_visible("".join(given)).split())
    if len(user) > MAX_USER:
        message = f"{rules.user_header} is longer than {MAX_USER} characters"
        raise AccessDenied(400, message, DoorRefusal.FORGED_USER)
    return user


def _find_bearer(request: web.Request) -> str:
    """The token of `Authorization: Bearer`; another scheme is a matter between others."""
    given = request.headers.getall(hdrs.AUTHORIZATION, [])
    found = [secret.strip() for scheme, _, secret in (each.partition(" ") for each in given)
             if scheme.lower() == "bearer"]  # fmt: skip
    if len(given) > 1 and found:
        raise AccessDenied(400, "there are several Authorization headers: send one")
    return found[0][:_MOST_SECRET] if found else ""


def _as_caller(token: AccessToken, kind: CallerKind) -> Caller:
    return Caller(kind, token.scope, token.name)
