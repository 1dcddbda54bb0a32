"""Which SQL and Redis commands only read. Checked when a runbook is read, and again right before a
step runs.

For SQL this is the first of two locks: the session that runs it is READ ONLY as well, so what a
list of words can't see (a function that writes) is refused by the server.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_READING = {"select", "with", "values", "table", "show", "explain"}
_WRITING = re.compile(
    r"\b(insert|into|update|delete|merge|truncate|drop|alter|create|grant|revoke|copy|call|do|vacuum|reindex|cluster"
    r"|refresh|lock|notify|listen|prepare|execute|set_config|setval|nextval|dblink\w*|lo_\w+"
    r"|pg_terminate_backend|pg_cancel_backend|pg_reload_conf|pg_rotate_logfile|pg_promote|pg_switch_wal"
    r"|pg_create_\w+|pg_drop_\w+|pg_advisory\w*|pg_try_advisory\w*|pg_stat_reset\w*|pg_sleep\w*"
    r"|pg_read_file|pg_read_binary_file|pg_ls_dir|pg_notify|pg_wal_replay_\w+|pg_logical_\w+)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")

_COMMANDS = {
    "PING", "INFO", "TIME", "ROLE", "DBSIZE", "TYPE", "EXISTS", "TTL", "PTTL", "SCAN", "STRLEN", "XLEN", "XPENDING",
    "XRANGE", "XREVRANGE", "LLEN", "LRANGE", "ZCARD", "ZCOUNT", "ZSCORE", "ZRANGE", "ZRANGEBYSCORE", "ZREVRANGE",
    "HLEN", "HGET", "HGETALL", "GET", "SCARD", "SMEMBERS",
}  # fmt: skip
_SUBCOMMANDS = {
    "XINFO": {"STREAM", "GROUPS", "CONSUMERS"},
    "MEMORY": {"USAGE", "STATS"},
    "LATENCY": {"LATEST", "HISTORY"},
    "SLOWLOG": {"GET", "LEN"},
    "CLIENT": {"LIST", "INFO"},
    "CONFIG": {"GET"},
    "ACL": {"WHOAMI"},
}


_PAIRED = {"XINFO", "XRANGE", "XREVRANGE", "HGETALL", "CONFIG"}
_CONTENT = {
    "GET", "HGET", "HGETALL", "LRANGE", "SMEMBERS", "XRANGE", "XREVRANGE", "SLOWLOG",
}  # fmt: skip


def is_paired(argv: Sequence[str]) -> bool:
    """Whether the reply is a list of names and values by turns."""
    return argv[0].upper() in _PAIRED or argv[-1].upper() == "WITHSCORES"


def shows_content(argv: Sequence[str]) -> bool:
    """Whether the reply shows what is in messages and values: for the eyes of who asks, kept
    nowhere.
    """
    return argv[0].upper() in _CONTENT


def refuse_sql(text: str) -> str:
    """Why a statement may not run as a reading step; "" when it may."""
    bare = _QUOTED.sub("''", text).strip().rstrip(";").strip()
    if "\\" in text or any(sign in bare for sign in ("--", "/*", "$")):
        return "comments, dollar quotes and backslashes are not allowed in a step's SQL"
    if ";" in bare:
        return "one statement per step"
    first = re.match(r"[a-z]+", bare.lower())
    if first is None or first[0] not in _READING:
        return f"a step's SQL must only read: begin with one of {', '.join(sorted(_READING))}"
    writing = _WRITING.search(bare)
    return f"a step's SQL must only read: {writing[0]!r} is not allowed" if writing else ""


def refuse_redis(argv: Sequence[str]) -> str:
    """Why a command may not run as a reading step; "" when it may."""
    command = argv[0].upper() if argv else ""
    if command in _COMMANDS:
        return ""
    if command in _SUBCOMMANDS:
        allowed = _SUBCOMMANDS[command]
        if len(argv) > 1 and argv[1].upper() in allowed:
            return ""
        return f"{command} may only be used with {', '.join(sorted(allowed))}"
    allowed = _COMMANDS | set(_SUBCOMMANDS)
    return (
        f"{command or 'nothing'} is not on the list of commands that only read:"
        f" {', '.join(sorted(allowed))}"
    )


_SHOWING_COLUMNS = {"args", "cmd", "command"}
_COLUMN = re.compile(r"[\w%]+")
_SHELL_PS = re.compile(
    r"\bps\s+(?:-\w*[fFO]|[a-z]|[^|;&]*\b(?:args|cmd|command)\b)|\b(?:pgrep|pstree)\s+-\w*a"
    r"|\btop\s+-\w*c|\bw(?:\s|$)|\bsystemctl\b.*\bstatus\b|\bdocker\s+(?:ps|top|inspect)\b"
)
_PROC = re.compile(r"/proc/[^/\s]*/(?:task/[^/\s]*/)?(?:cmdline|environ)")


def shows_command_lines(argv: Sequence[str]) -> bool:
    """Whether a program shows arguments or environments of processes, which may hold passwords of
    anybody on this host: for the eyes of who asks, kept nowhere, and only where a book says so.
    """
    for n, word in enumerate(argv):
        name, rest = word.rpartition("/")[2], argv[n + 1 :]
        if _PROC.search(word) or (" " in word and _SHELL_PS.search(word)):
            return True
        if name == "ps" and _ps_shows(rest):
            return True
        if name in _SHOWING and _SHOWING[name].search(" ".join(rest)):
            return True
    return False


_SHOWING = {
    "pgrep": re.compile(r"(?:^| )(?:-[a-z]*a|--list-full)"),
    "pstree": re.compile(r"(?:^| )(?:-[a-zA-Z]*a|--arguments)"),
    "top": re.compile(r"(?:^| )-[a-zA-Z]*c"),
    "htop": re.compile(""),
    "systemctl": re.compile(r"(?:^| )status(?: |$)"),
    "docker": re.compile(r"^(?:container )?(?:ps|top|inspect|ls)(?: |$)"),
    "podman": re.compile(r"^(?:container )?(?:ps|top|inspect|ls)(?: |$)"),
}
"""Programs beside `ps` and by which of their arguments they show command lines."""


def _ps_shows(words: Sequence[str]) -> bool:
    """ps(1): columns that show arguments, formats that have one, and every option without a dash."""
    takes = ""
    for n, word in enumerate(words):
        if takes:
            if takes in {"o", "O"} and _SHOWING_COLUMNS & set(_COLUMN.findall(word)):
                return True
            takes = ""
        elif word.startswith("--"):
            name, _, value = word[2:].partition("=")
            if name == "format" and _SHOWING_COLUMNS & set(_COLUMN.findall(value)):
                return True
            takes = "o" if name == "format" and not value else takes
            takes = "p" if name in _PS_TAKES and not value else takes
        elif word.startswith("-"):
            flags, _, columns = word[1:].partition("o")
            if set(flags) & set("fFO") or _SHOWING_COLUMNS & set(_COLUMN.findall(columns)):
                return True
            takes = "o" if "o" in word and not columns else ""
            takes = "p" if not takes and word[-1] in "pCugGUtsq" else takes
        elif (
            not word.isdigit()
            and not word.startswith("{")
            and (n == 0 or not words[n - 1].startswith("-"))
        ):
            return True
    return False


_PS_TAKES = {
    "pid", "ppid", "sort", "user", "User", "group", "Group", "tty", "sid", "quick-pid", "cols",
    "columns", "width", "lines", "rows",
}  # fmt: skip
