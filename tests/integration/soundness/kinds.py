"""Kinds of worlds: which operations, how often, and how they are looked at."""

from __future__ import annotations

from tests.integration.soundness.world import Kind

_LIFE = {"publish": 10, "read": 10, "ack": 8, "finish": 1}
_ENTRIES = {
    **_LIFE, "trim": 1, "trim_publish": 0.5, "delete": 1, "delete_acked": 0.5, "drop_consumer": 0.5,
    "claim": 0.7, "read_without_ack": 0.5, "read_history": 0.5,
}  # fmt: skip
_GROUPS = {
    "set_back": 0.4, "set_forward": 0.4, "create_group": 0.8, "destroy_group": 0.3,
    "remake_group": 0.3, "claim_by_force": 0.4, "claim_and_move": 0.3,
}  # fmt: skip
_STREAMS = {
    "delete_stream": 0.3, "rename_away": 0.2, "rename_onto": 0.4, "copy_stream": 0.3,
    "restore_stream": 0.3, "create_group": 2,
}  # fmt: skip
_REQUIRED = {"create_group": 0.8, "destroy_group": 0.3, "delete_stream": 0.2}
_RESTARTS = {"restart_server": 0.2, "reset_statistics": 0.3, "trim": 2, "drop_consumer": 1}
_DISK = {"save": 0.4, "save_and_restart": 0.1, "roll_back": 0.1, "reset_statistics": 0.2}
_EVERYTHING = {**_ENTRIES, **_GROUPS, **_STREAMS, **_DISK, "evict": 0.1}

KINDS = {
    each.name: each
    for each in (
        Kind("gentle", {"publish": 10, "read": 12, "ack": 10, "finish": 1, "trim_read": 3}),
        Kind("trims", {"publish": 10, "read": 12, "ack": 8, "finish": 1, "trim": 1.5}),
        Kind("entries", _ENTRIES, streams=2),
        Kind("groups", {**_ENTRIES, **_GROUPS}, groups_first=False),
        Kind("required", {**_ENTRIES, **_REQUIRED}, groups_first=False, required=("g1",)),
        Kind("streams", {**_ENTRIES, **_STREAMS}, streams=2, groups_first=False),
        Kind("counters", {**_ENTRIES, "set_counters": 0.3, "reset_statistics": 0.3}),
        Kind("evictions", {**_ENTRIES, "evict": 0.3, "create_group": 2}, streams=2),
        Kind("aof", {**_ENTRIES, **_RESTARTS}, durable=True),
        Kind("rdb", {**_ENTRIES, **_DISK, "create_group": 2}, streams=2),
        Kind("ids", _ENTRIES, ids="mixed"),
        Kind("anchors", _ENTRIES, may_write=False),
        Kind("between", {**_ENTRIES}, streams=2, between=0.15),
        Kind(
            "everything",
            _EVERYTHING,
            streams=2,
            groups_first=False,
            ids="mixed",
            between=0.1,
            pause=0.05,
        ),
        Kind("pauses", _ENTRIES, pause=0.2, forgets=0.2),
        Kind(
            "kills",
            {**_ENTRIES, **_GROUPS, **_RESTARTS},
            groups_first=False,
            durable=True,
            pause=0.05,
            kills=0.12,
        ),
    )
}

EXACT = ("gentle", "trims")
"""Kinds of which figures must not only be true, but narrow."""
JUDGED = (*EXACT, *(name for name in KINDS if name not in EXACT))
