"""The password of a resource: from one place only, and from a file as Docker and Kubernetes put
it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from sentinel.config.address import find_passwords
from sentinel.config.model import ResourceSettings
from sentinel.strict.file import FileContent, UnreadableFile, read_regular_file, show_path
from sentinel.strict.place import Place

MAX_SECRET = 64 << 10
MOUNTED = (Path("/run/secrets"), Path("/var/run/secrets"))
"""Where containers have their secrets."""
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_ONE_PLACE = "a password has one place: keep one of them"


def read_secret(place: Place, name: str, path: Path) -> SecretStr | None:
    """The secret of a file; what is wrong with it is noted at the place. Links are followed."""
    shown = f"the secret file {show_path(name)}"
    try:
        content = read_regular_file(path, MAX_SECRET)
    except UnreadableFile as error:
        place.note(f"{shown} {error.message}", error.guidance)
        return None
    fault = find_open_fault(content)
    if fault:
        place.note(f"{shown} {fault}", f"chmod 600 {show_path(name)}")
    return _decode(place, shown, content.data)


def find_open_fault(content: FileContent) -> str:
    """Why a file is too open to hold a secret, or "".

    Who may change it chooses which server gets the password, so that is its owner alone. Docker and
    Kubernetes give mode 0444 to what nobody but the processes of one container sees: on a mount of
    its own that is read-only, or in /run/secrets and of root. Anywhere else everybody on the host
    reads it.
    """
    mode = content.status.st_mode
    if mode & 0o022:
        return "can be changed by others"
    is_mounted = content.is_apart or (
        content.status.st_uid == 0 and any(content.path.is_relative_to(each) for each in MOUNTED)
    )
    return "is readable by everyone" if mode & 0o004 and not is_mounted else ""


def _decode(place: Place, shown: str, data: bytes) -> SecretStr | None:
    """One line of text without its line break; blanks belong to it."""
    if data.startswith(_MARKS):
        place.note(
            f"{shown} begins with a byte order mark",
            "save it as UTF-8 without BOM: it would be sent",
        )
        return None
    try:
        text = data.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        place.note(f"{shown} is not UTF-8 text", "write the secret as one line of text")
        return None
    if not text.strip():
        place.note(f"{shown} is empty", "write the secret into it, or leave the key out")
        return None
    if not text.isprintable():
        remedy = "write the secret as one line of text"
        place.note(f"{shown} holds a line break or a control character", remedy)
        return None
    return SecretStr(text)


def check_one_place(place: Place, kind: str, item: ResourceSettings, address: str) -> None:
    """Two passwords for one resource are refused: one of them would be ignored in silence."""
    keys = [key for key in ("password", "password_file") if getattr(item, key) is not None]
    if len(keys) == 2:
        (place / keys[1]).note("password and password_file exclude each other", _ONE_PLACE)
    elif keys and any(find_passwords(kind, address)):
        (place / keys[0]).note(f"the address and {keys[0]} both give a password", _ONE_PLACE)
    if item.password is not None and not item.password.get_secret_value():
        (place / "password").note("is empty", "write a password, or leave the key out")


def describe_source(
    kind: str, item: ResourceSettings, address: str, environment: Mapping[str, str]
) -> str:
    """Where the password of a resource comes from, for `sentinel validate`; "" when it has none.

    libpq's own variable counts only when nothing here gives one.
    """
    if item.password_file is not None:
        return f"password_file {show_path(item.password_file)}"
    if item.password is not None:
        return "password"
    if any(find_passwords(kind, address)):
        return "its address"
    return "PGPASSWORD" if kind == "postgres" and environment.get("PGPASSWORD") else ""
