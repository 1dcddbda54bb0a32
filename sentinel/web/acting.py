"""Routes that act: each gives an order through the desk, in the name of who calls. A program gets a
JSON document, a form leads back to its page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from sentinel.core.access import AccessScope
from sentinel.core.order import Answer, AnswerWord
from sentinel.errors import ActionRefused, UnknownName, UsageError
from sentinel.web.access import present_caller
from sentinel.web.desk import DESK, Desk
from sentinel.web.fields import Fields, find_next, read_fields

MAX_NOTE = 8000
"""Characters that are looked at; how long a note may be says who keeps it."""
STILL_AT_IT = "ordered, and not done yet: the page shows what becomes of it"
_STATUS = {
    AnswerWord.DONE: 200,
    AnswerWord.REFUSED: 409,
    AnswerWord.FAILED: 500,
    AnswerWord.UNKNOWN: 404,
}
Give = Callable[[Desk, Fields, str], Awaitable[Answer | None]]


async def acknowledge(request: web.Request) -> web.Response:
    """Somebody sees to an incident: no further escalation. Field `reason` may say how."""
    name = request.match_info["id"]
    return await _order(
        request, lambda desk, fields, by: desk.acknowledge(name, by, fields.text("reason", ""))
    )


async def note(request: web.Request) -> web.Response:
    """What somebody did, in the timeline. Field `text`."""
    name = request.match_info["id"]
    return await _order(
        request, lambda desk, fields, by: desk.note(name, by, fields.text("text", most=MAX_NOTE))
    )


async def add_silence(request: web.Request) -> web.Response:
    """Nobody is told. Fields `matchers`, `for`, `reason`."""
    return await _order(
        request,
        lambda desk, fields, by: desk.silence(
            fields.matchers("matchers"), fields.seconds("for"), by, fields.text("reason")
        ),
    )


async def end_silence(request: web.Request) -> web.Response:
    """People are told again."""
    name = request.match_info["id"]
    return await _order(request, lambda desk, _fields, by: desk.end_silence(name, by))


async def add_maintenance(request: web.Request) -> web.Response:
    """People work on components. Fields `components`, `for`, `reason`, perhaps `name`."""
    return await _order(
        request,
        lambda desk, fields, by: desk.maintain(
            fields.text("name", ""),
            fields.words("components"),
            fields.seconds("for"),
            by,
            fields.text("reason"),
        ),
    )


async def end_maintenance(request: web.Request) -> web.Response:
    """They are done."""
    name = request.match_info["name"]
    return await _order(request, lambda desk, _fields, by: desk.end_maintenance(name, by))


async def halt(request: web.Request) -> web.Response:
    """The kill switch. Field `reason`."""
    return await _order(request, lambda desk, fields, by: desk.halt(by, fields.text("reason")))


async def resume(request: web.Request) -> web.Response:
    """Automatic actions again. Field `reason`."""
    return await _order(
        request, lambda desk, fields, by: desk.resume(by, fields.text("reason", ""))
    )


async def restart(request: web.Request) -> web.Response:
    """Restart a component. Field `reason`."""
    name = request.match_info["name"]
    return await _order(
        request, lambda desk, fields, by: desk.restart(name, by, fields.text("reason"))
    )


async def close_breaker(request: web.Request) -> web.Response:
    """Let automation act again after it switched itself off. Field `reason`."""
    return await _order(
        request, lambda desk, fields, by: desk.close_breaker(by, fields.text("reason"))
    )


async def reload(request: web.Request) -> web.Response:
    """Read the configuration anew. Field `reason`."""
    return await _order(
        request, lambda desk, fields, by: desk.reload(by, fields.text("reason", ""))
    )


async def _order(request: web.Request, give: Give) -> web.Response:
    fields = await read_fields(request)
    try:
        answer = await give(request.app[DESK], fields, present_caller().who)
    except UnknownName as error:
        raise web.HTTPNotFound(text=_tell(error)) from error
    except UsageError as error:
        raise web.HTTPBadRequest(text=_tell(error)) from error
    except ActionRefused as error:
        raise web.HTTPConflict(text=_tell(error)) from error
    status = 202 if answer is None else _STATUS[answer.word]
    outcome = STILL_AT_IT if answer is None else answer.line
    if fields.is_form and status < 300:
        return web.Response(status=303, headers={"Location": find_next(fields)})
    key = "outcome" if status < 300 else "error"
    return web.json_response({key: outcome, "status": status}, status=status)


def _tell(error: UsageError | ActionRefused) -> str:
    return f"{error.message}: {error.guidance}" if error.guidance else error.message


ROUTES = (
    ("/api/v1/incidents/{id}/ack", acknowledge, AccessScope.ACK),
    ("/api/v1/incidents/{id}/note", note, AccessScope.ACK),
    ("/api/v1/silences", add_silence, AccessScope.ACK),
    ("/api/v1/silences/{id}/end", end_silence, AccessScope.ACK),
    ("/api/v1/maintenance", add_maintenance, AccessScope.ACK),
    ("/api/v1/maintenance/{name}/end", end_maintenance, AccessScope.ACK),
    ("/api/v1/halt", halt, AccessScope.ACT),
    ("/api/v1/resume", resume, AccessScope.ACT),
    ("/api/v1/components/{name}/restart", restart, AccessScope.ACT),
    ("/api/v1/breaker/close", close_breaker, AccessScope.ADMIN),
    ("/api/v1/reload", reload, AccessScope.ADMIN),
)
"""Address, handler and scope of everything here; all of it by POST."""
