"""References to the environment in texts: `${NAME}`, `${NAME:-default}`; `$${` is a plain `${`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sentinel.redaction import tells_secret
from sentinel.strict.place import Place

_REFERENCE = re.compile(r"\$(\$\{|\{([A-Za-z_][A-Za-z0-9_]*)(?::-((?:(?!\$\{)[^}])*))?\})")
_FILED = {
    "resources": frozenset({"password"}),
    "channels": frozenset({"password", "secret", "routing_key", "addresses"}),
}
"""Keys of each section that are secrets, and that a file may hold: `password_file`."""
_OF_SECRETS = frozenset({"headers", "routing_key"})
"""Keys that tell by no word of theirs that a secret stands there, or below."""


def find_variables(text: str) -> tuple[str, ...]:
    """The variables that a text names."""
    return (
        tuple(found[2] for found in _REFERENCE.finditer(text) if found[2]) if "${" in text else ()
    )


def substitute(text: str, place: Place, environment: Mapping[str, str]) -> str:
    """The text with every reference replaced, once: a value is never looked at again."""

    def replace(match: re.Match[str]) -> str:
        name = match[2]
        if name is None:
            return "${"
        value = environment.get(name, match[3])
        if value is None:
            place.refuse(f"the environment variable {name} is not set", _advise(match, place))
        return value or ""

    if "${" in _REFERENCE.sub("", text):
        place.refuse(
            "holds a `${` that names no environment variable",
            "write ${NAME} or ${NAME:-default}; $${ stands for ${ itself",
        )
    return _REFERENCE.sub(replace, text)


def _advise(match: re.Match[str], place: Place) -> str:
    """What to do about a variable that is not set: a default would be a secret in the file."""
    name, path = match[2], place.path
    export = f"export {name}=…"
    if len(path) == 3 and path[2] in _FILED.get(str(path[0]), ()):
        return f"{export}, or name a file that holds it: `{path[2]}_file: …`"
    words = [name, *map(str, path)]
    is_hook = path[:1] == ("channels",) and path[-1] == "address"
    if is_hook or any(map(tells_secret, words)) or _OF_SECRETS & set(words) or _is_in_user(match):
        return export
    return f"{export}, or write ${{{name}:-default}}"


def _is_in_user(match: re.Match[str]) -> bool:
    """Whether a reference stands before the host of an address: `redis://bus:${WORD}@host`."""
    before, after = match.string[: match.start()], match.string[match.end() :]
    return "://" in before and "@" in after
