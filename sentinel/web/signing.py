"""Sign in with a token, for who uses a browser; sign out; and who one is."""

from __future__ import annotations

from aiohttp import web

from sentinel.core.access import AccessScope
from sentinel.web.access import (
    KEEPER,
    AccessDenied,
    check_scope,
    find_peer,
    note_denial,
    present_caller,
)
from sentinel.web.fields import Fields, find_next, read_fields
from sentinel.web.site import SITE

_TEMPLATE = "sign_in.html.j2"


async def show_sign_in(request: web.Request) -> web.Response:
    """The form for a token; `?next=PATH` is where it leads."""
    wanted = find_next(Fields(request.query, is_form=True))
    return render_sign_in(request, wanted)


async def sign_in(request: web.Request) -> web.Response:
    """Take a token, and give a cookie for it."""
    fields = await read_fields(request)
    wanted = find_next(fields)
    given = fields.values.get("token")
    secret = given.strip() if isinstance(given, str) else ""
    try:
        token = await request.app[KEEPER].check_secret(secret, find_peer(request))
    except AccessDenied as denied:
        note_denial(request, denied)
        return render_sign_in(request, wanted, denied.status, denied.message)
    response = web.Response(status=303, headers={"Location": wanted})
    request.app[KEEPER].open_session(request, response, token)
    return response


async def sign_out(request: web.Request) -> web.Response:
    """Take the cookie away."""
    await read_fields(request)
    response = web.Response(status=303, headers={"Location": "/sign-in"})
    request.app[KEEPER].close_session(request, response)
    return response


async def tell_caller(_request: web.Request) -> web.Response:
    """Who one is here, and what one may do."""
    caller = present_caller()
    document = {"name": caller.name, "scope": caller.scope, "known_by": caller.kind}
    return web.json_response(document)


def refuse_page(request: web.Request, denied: AccessDenied) -> web.Response | None:
    """What a person in a browser is shown who is not known: the form; None for a program."""
    is_page = request.method == "GET" and not request.path.startswith("/api/")
    if denied.status != 401 or not is_page or "text/html" not in request.headers.get("Accept", ""):
        return None
    wanted = find_next(Fields({"next": request.path_qs}, is_form=True))
    return render_sign_in(request, wanted, 401, denied.message)


def render_sign_in(
    request: web.Request, wanted: str, status: int = 200, message: str = ""
) -> web.Response:
    """The form, perhaps with what was wrong."""
    template = request.app[SITE].templates.get_template(_TEMPLATE)
    caller = present_caller()
    text = template.render(next=wanted, message=message, may=caller)
    return web.Response(text=text, status=status, content_type="text/html")


def tell_reason(request: web.Request) -> bool:
    """Whether a caller may know more than yes or no: why sentinel is not ready names its paths."""
    if not request.app[KEEPER].rules().exposed:
        return True
    try:
        check_scope(present_caller(), AccessScope.READ)
    except AccessDenied:
        return False
    return True
