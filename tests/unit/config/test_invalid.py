"""Every mistake of `invalid/`: all problems at once, each with file, line, key, message and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.config import load
from sentinel.errors import ConfigurationError

FOLDER = Path(__file__).with_name("invalid")

REFERENCE = "write ${NAME} or ${NAME:-default}; $${ stands for ${ itself"

# mistake: [(file, line, key, message, remedy)], all of them and no other
EXPECTED = {
    "kind_of_old.yaml": [
        (
            "kind_of_old.yaml",
            3,
            "checks[0].kind",
            "the kind tenant_isolation is now tenant_probe",
            "write `kind: tenant_probe`, and `roles: [app]` for `role: app`; its `requests` are a check"
            " of kind tenant_http",
        ),
        (
            "kind_of_old.yaml",
            4,
            "checks[1]",
            "`role: app` is now `roles: [app]`",
            "correct the value",
        ),
    ],
    "accept_what_can_not_be.yaml": [
        (
            "accept_what_can_not_be.yaml",
            9,
            "checks[0].accept[0].fault",
            "unknown fault `treshold`",
            "did you mean `threshold`? (`sentinel kinds tcp` lists them)",
        ),
        (
            "accept_what_can_not_be.yaml",
            10,
            "checks[0].accept[1].until",
            "2020-01-31 is over: nothing is accepted any more",
            "remove the entry, or decide anew",
        ),
        (
            "accept_what_can_not_be.yaml",
            11,
            "checks[0].accept[2].until",
            "the key `until` is missing",
            "add it, such as `until: 2099-01-31`",
        ),
        (
            "accept_what_can_not_be.yaml",
            12,
            "checks[0].accept[3].reason",
            "is empty",
            "write something, or leave the key out",
        ),
        (
            "accept_what_can_not_be.yaml",
            13,
            "checks[0].accept[4].who",
            "unknown key `who`",
            "known: fault, reason, subject, until",
        ),
        (
            "accept_what_can_not_be.yaml",
            14,
            "checks[0].accept[5].subject.agent",
            "must be text, found int '7'",
            'write text, in quotes where it looks like something else: "…"',
        ),
        (
            "accept_what_can_not_be.yaml",
            15,
            "checks[0].accept[6].until",
            "'2999-12-31T12:00:00' is no date, and no instant with a time zone",
            "write a date, such as 2031-01-31 (its whole day, UTC), or an instant with its zone",
        ),
        (
            "accept_what_can_not_be.yaml",
            16,
            "checks[0].accept[7].until",
            "'next week' is no date, and no instant with a time zone",
            "write a date, such as 2031-01-31 (its whole day, UTC), or an instant with its zone",
        ),
        (
            "accept_what_can_not_be.yaml",
            17,
            "checks[0].accept[8].subject",
            "must be a mapping, found str 'agent-7'",
            "write `key: value` lines, indented, below it",
        ),
        (
            "accept_what_can_not_be.yaml",
            17,
            "checks[0].accept[8].until",
            "2020-01-31T12:00:00+01:00 is over: nothing is accepted any more",
            "remove the entry, or decide anew",
        ),
    ],
    "alias_bomb.yaml": [
        (
            "alias_bomb.yaml",
            3,
            "e[7][8]",
            "is too large or too deep to be configuration",
            "remove repeated aliases",
        ),
    ],
    "alias_of_itself.yaml": [
        (
            "alias_of_itself.yaml",
            1,
            "components.api.api",
            "is too large or too deep to be configuration",
            "remove repeated aliases",
        ),
    ],
    "check_is_a_word.yaml": [
        (
            "check_is_a_word.yaml",
            1,
            "[0]",
            "is no check",
            "write `- name: …`, `kind: …`, `component: …`",
        ),
    ],
    "command_without_driver.yaml": [
        (
            "command_without_driver.yaml",
            3,
            "components.api.command",
            "a command needs a driver",
            "add `driver: process`",
        ),
        (
            "command_without_driver.yaml",
            5,
            "components.agent.driver",
            "driver process needs a command",
            "add `command: [/usr/bin/env, python3, worker.py]`",
        ),
    ],
    "component_name_is_a_path.yaml": [
        (
            "component_name_is_a_path.yaml",
            2,
            "components.../../etc/cron.d/x",
            "'../../etc/cron.d/x' is no name",
            "use letters, digits and . _ : - (at most 100, a letter or digit first)",
        ),
    ],
    "dependency_cycle.yaml": [
        (
            "dependency_cycle.yaml",
            2,
            "components.api.depends_on",
            "dependency cycle: api → orchestrator → agent → api",
            "remove one of these edges",
        ),
    ],
    "depends_on_itself.yaml": [
        (
            "depends_on_itself.yaml",
            2,
            "components.api.depends_on",
            "dependency cycle: api → api",
            "remove one of these edges",
        ),
    ],
    "unknown_driver.yaml": [
        (
            "unknown_driver.yaml",
            3,
            "components.api.driver",
            "unknown driver `sytemd`",
            "did you mean `systemd`?",
        ),
    ],
    "driver_keys.yaml": [
        (
            "driver_keys.yaml",
            5,
            "components.api.reload_signal",
            "input should be 'HUP', 'USR1' or 'USR2' (found str 'KILL')",
            "correct the value",
        ),
        (
            "driver_keys.yaml",
            6,
            "components.api.comand",
            "unknown key `comand`",
            "did you mean `command`?",
        ),
        (
            "driver_keys.yaml",
            9,
            "components.worker.unit",
            "must be the whole name of a unit, such as orders.service (found str 'worker')",
            "correct the value",
        ),
        (
            "driver_keys.yaml",
            10,
            "components.worker.deadline",
            "'soon' is no duration: write a number with a unit, such as 250ms, 5s, 2m, 1h30m or 30d",
            "correct the value",
        ),
        (
            "driver_keys.yaml",
            12,
            "components.cache.driver",
            "driver docker needs a container",
            "add `container: name`",
        ),
        (
            "driver_keys.yaml",
            15,
            "components.queue.container",
            "must be the name or id of a container: letters, digits and _ . - only (found str 'a/b')",
            "correct the value",
        ),
        (
            "driver_keys.yaml",
            19,
            "components.lake.restart.attempts",
            "unknown key `attempts`",
            "did you mean `max_attempts`?",
        ),
        (
            "driver_keys.yaml",
            23,
            "components.web.commands.restart",
            "there is no program 'no-such-program-anywhere': give its absolute path, or a name of the system's folders",
            "correct the value",
        ),
        (
            "driver_keys.yaml",
            24,
            "components.web.commands.reboot",
            "unknown key `reboot`",
            "known: reload, restart, start, status, stop",
        ),
        (
            "driver_keys.yaml",
            27,
            "components.edge.requests.restart.path",
            "must begin with / and have no blank and no # (found str 'restart')",
            "correct the value",
        ),
    ],
    "driver_without_status.yaml": [
        (
            "driver_without_status.yaml",
            6,
            "components.web.driver",
            "driver command can't tell whether web runs: it would never be restarted",
            "give its driver a status, or add a check of web",
        ),
        (
            "driver_without_status.yaml",
            8,
            "components.edge",
            "driver http needs a http resource, and it is not clear which",
            "add `via: name`; known: one, two",
        ),
        (
            "driver_without_status.yaml",
            17,
            "components.bad.via",
            "unknown resource `three`",
            "known: one, two",
        ),
    ],
    "nul_in_a_command.yaml": [
        (
            "nul_in_a_command.yaml",
            2,
            "components.api",
            "a NUL character can't be handed to a program",
            "remove it",
        ),
    ],
    "duplicate_key.yaml": [
        (
            "duplicate_key.yaml",
            4,
            "platform",
            "the key `platform` is given twice (first in line 1)",
            "keep one of them",
        ),
    ],
    "duplicate_key_of_a_check.yaml": [
        (
            "duplicate_key_of_a_check.yaml",
            8,
            "checks[0].address",
            "the key `address` is given twice (first in line 7)",
            "keep one of them",
        ),
    ],
    "duration_without_unit.yaml": [
        (
            "duration_without_unit.yaml",
            8,
            "checks[0].every",
            "5 is no duration: write a number with a unit, such as 250ms, 5s, 2m, 1h30m or 30d",
            "correct the value",
        ),
    ],
    "include_tag.yaml": [
        (
            "include_tag.yaml",
            1,
            "platform",
            "the tag !include is not allowed",
            "write plain values",
        ),
    ],
    "interval_of_zero.yaml": [
        (
            "interval_of_zero.yaml",
            8,
            "checks[0].every",
            "must be at least 50 ms (found str '0s')",
            "correct the value",
        ),
        (
            "interval_of_zero.yaml",
            9,
            "checks[0].timeout",
            "must be at least 50 ms (found str '0ms')",
            "correct the value",
        ),
    ],
    "key_is_a_list.yaml": [
        ("key_is_a_list.yaml", 1, "", "a key must be a word", "write `key: value`"),
    ],
    "access_keys.yaml": [
        (
            "access_keys.yaml",
            4,
            "access.certificate_file",
            "page.pem can't be read: No such file or directory",
            "check the path and its rights",
        ),
        (
            "access_keys.yaml",
            5,
            "access.loopback_scope",
            "counts only where `listen` is loopback",
            "remove it: beyond loopback everybody needs a token",
        ),
        (
            "access_keys.yaml",
            9,
            "trusted_proxies[0]",
            "'10.0.0.7/8' is no address and no network",
            "write an address or a network whose host bits are zero, such as 10.1.0.0/24",
        ),
        (
            "access_keys.yaml",
            10,
            "trusted_proxies[1]",
            "'0.0.0.0/0' is half the world",
            "name the proxies, or their network",
        ),
        (
            "access_keys.yaml",
            12,
            "trusted_proxies[3]",
            "'fd00::7' is given twice",
            "keep one of them",
        ),
    ],
    "access_without_proxy.yaml": [
        (
            "access_without_proxy.yaml",
            3,
            "access.key_file",
            "key_file needs a certificate_file",
            "name the certificate, too",
        ),
        (
            "access_without_proxy.yaml",
            4,
            "access.user_scope",
            "counts only with `trusted_proxies`",
            "name them, or remove it",
        ),
    ],
    "access_words.yaml": [
        (
            "access_words.yaml",
            3,
            "access.loopback_scope",
            "input should be 'open', 'read', 'ack', 'act' or 'admin' (found str 'root')",
            "correct the value",
        ),
        (
            "access_words.yaml",
            4,
            "access.user_header",
            "is no header that can name a user",
            "write the one that your proxy sets",
        ),
        (
            "access_words.yaml",
            5,
            "access.tokens",
            "unknown key `tokens`",
            "known: certificate_file, key_file, loopback_scope, user_header, user_scope",
        ),
    ],
    "listen_to_everybody.yaml": [
        (
            "listen_to_everybody.yaml",
            2,
            "listen",
            "0.0.0.0 is not loopback, and there is no TLS",
            "give `access: {certificate_file: …, key_file: …}`, or the `trusted_proxies` that connect"
            " to it; or listen on 127.0.0.1",
        ),
        (
            "listen_to_everybody.yaml",
            2,
            "listen",
            "0.0.0.0 tells nobody where to open the page",
            "add `page_address: https://…`: links in notices begin with it, and its name is served",
        ),
    ],
    "listen_without_port.yaml": [
        (
            "listen_without_port.yaml",
            1,
            "listen",
            "'127.0.0.1' is no address to listen on",
            "write host:port, such as 127.0.0.1:9130",
        ),
    ],
    "milestones.yaml": [
        (
            "milestones.yaml",
            11,
            "milestones.a.evidence.check",
            "unknown check `prt`",
            "did you mean `port`?",
        ),
        ("milestones.yaml", 11, "milestones.a.track", "unknown track `front`", "known: back"),
        (
            "milestones.yaml",
            12,
            "milestones.b.claimed.at",
            "'yesterday' is no date, and no instant with a zone",
            "write a date, such as 2031-01-31 (its whole day, UTC), or an instant with its zone",
        ),
        (
            "milestones.yaml",
            12,
            "milestones.b.needs",
            "milestones need each other: b → c → b",
            "remove one of these needs",
        ),
        (
            "milestones.yaml",
            12,
            "milestones.b.needs[1]",
            "unknown milestone `z`",
            "known: a, b, c, d, e, f, g, h, j",
        ),
        (
            "milestones.yaml",
            13,
            "milestones.c.evidence",
            "has check, objective",
            "write exactly one of check, no_fault, objective, sql, promql, checklist, json",
        ),
        (
            "milestones.yaml",
            14,
            "milestones.d",
            "has neither evidence nor a claim",
            "add `evidence:`, or `claimed:`",
        ),
        (
            "milestones.yaml",
            15,
            "milestones.e.due",
            "'soon' is no date, and no instant with a time zone",
            "write a date, such as 2031-01-31 (its whole day, UTC), or an instant with its zone",
        ),
        (
            "milestones.yaml",
            15,
            "milestones.e.evidence",
            "names no evidence",
            "write exactly one of check, no_fault, objective, sql, promql, checklist, json",
        ),
        (
            "milestones.yaml",
            16,
            "milestones.f.evidence.no_fault.fault",
            "unknown fault `unreachabel`",
            "did you mean `unreachable`? (`sentinel kinds tcp` lists them)",
        ),
        (
            "milestones.yaml",
            17,
            "milestones.g.evidence.sql.resource",
            "`api` is no postgres resource",
            "name one of database",
        ),
        (
            "milestones.yaml",
            18,
            "milestones.h.estimate.high",
            "is less than `low`",
            "write the longer time as `high`",
        ),
        (
            "milestones.yaml",
            18,
            "milestones.h.evidence.promql.resource",
            "unknown http resource `nobody`",
            "known: api",
        ),
        (
            "milestones.yaml",
            19,
            "milestones.i.evidence.json.path",
            "'$[' is no JSON path: unexpected end of query",
            "write a path of RFC 9535, such as $.items[0].status",
        ),
        (
            "milestones.yaml",
            20,
            "milestones.j.needs",
            "milestones need each other: j → j",
            "remove one of these needs",
        ),
        (
            "milestones.yaml",
            22,
            "readiness[0].milestone",
            "unknown milestone `nothing`",
            "known: a, b, c, d, e, f, g, h, j",
        ),
        ("milestones.yaml", 23, "readiness[1].name", "`one` is given twice", "keep one of them"),
        (
            "milestones.yaml",
            23,
            "readiness[1].waive.until",
            "'never' is no date, and no instant with a time zone",
            "write a date, such as 2031-01-31 (its whole day, UTC), or an instant with its zone",
        ),
        (
            "milestones.yaml",
            24,
            "readiness[2]",
            "names no evidence",
            "write exactly one of check, no_fault, objective, sql, promql, checklist, json, milestone",
        ),
    ],
    "missing_environment_variable.yaml": [
        (
            "missing_environment_variable.yaml",
            2,
            "resources.bus.redis",
            "the environment variable BUS_URL is not set",
            "export BUS_URL=…, or write ${BUS_URL:-default}",
        ),
    ],
    "missing_key.yaml": [
        (
            "missing_key.yaml",
            4,
            "checks[0].address",
            "the key `address` is missing",
            'add it, such as `address: "127.0.0.1:5432"`',
        ),
        (
            "missing_key.yaml",
            7,
            "checks[1].name",
            "the key `name` is missing",
            "add it, such as `name: bus`",
        ),
    ],
    "name_of_the_drivers_own_check.yaml": [
        (
            "name_of_the_drivers_own_check.yaml",
            4,
            "checks[0].name",
            "the name `api.process` belongs to the check that the driver of api brings along",
            "choose another name",
        ),
    ],
    "neither_list_nor_mapping.yaml": [
        (
            "neither_list_nor_mapping.yaml",
            1,
            "",
            "is neither a list of checks nor a mapping of settings",
            "begin with `- name:` or `key:`",
        ),
    ],
    "no_checks.yaml": [
        (
            "no_checks.yaml",
            0,
            "",
            "has no checks",
            "add a file with a list of checks (`sentinel kinds`)",
        ),
    ],
    "not_utf8.yaml": [
        ("not_utf8.yaml", 1, "", "is not UTF-8 text (byte 0xe9)", "save the file as UTF-8"),
    ],
    "not_yaml.yaml": [
        (
            "not_yaml.yaml",
            5,
            "",
            "is not YAML: did not find expected node content",
            "mend the syntax at this line",
        ),
    ],
    "objective_of_no_check.yaml": [
        (
            "objective_of_no_check.yaml",
            4,
            "objectives[0].check",
            "unknown check `api-prt`",
            "did you mean `api-port`?",
        ),
    ],
    "objective_of_no_sli.yaml": [
        (
            "objective_of_no_sli.yaml",
            4,
            "objectives[0].sli",
            "unknown SLI `upp`",
            "did you mean `up`? (`sentinel kinds tcp` lists them)",
        ),
        (
            "objective_of_no_sli.yaml",
            5,
            "objectives[1].sli",
            "unknown SLI `in_time`",
            "known: up, working",
        ),
        (
            "objective_of_no_sli.yaml",
            5,
            "objectives[1].target",
            "leaves no error budget",
            "write more than 0% and less than 100%",
        ),
        (
            "objective_of_no_sli.yaml",
            5,
            "objectives[1].window",
            "is no window for an objective",
            "write at least 1h and at most 90d",
        ),
        (
            "objective_of_no_sli.yaml",
            6,
            "objectives[2].min_events",
            "input should be greater than or equal to 1 (found int '0')",
            "correct the value",
        ),
        (
            "objective_of_no_sli.yaml",
            7,
            "objectives[3].name",
            "'bad kind' is no name",
            "use letters, digits and . _ : - (at most 100, a letter or digit first)",
        ),
        (
            "objective_of_no_sli.yaml",
            11,
            "checks[1].kind",
            "unknown kind `bus_delivry`",
            "did you mean `bus_delivery`? (`sentinel kinds` lists them)",
        ),
    ],
    "python_tag.yaml": [
        (
            "python_tag.yaml",
            1,
            "platform",
            "the tag tag:yaml.org,2002:python/object/apply:os.system is not allowed",
            "write plain values",
        ),
        (
            "python_tag.yaml",
            2,
            "state",
            "the tag tag:yaml.org,2002:python/name:os.system is not allowed",
            "write plain values",
        ),
        (
            "python_tag.yaml",
            4,
            "components.api",
            "the tag !thing is not allowed",
            "write plain values",
        ),
    ],
    "request_budget_garbled.yaml": [
        (
            "request_budget_garbled.yaml",
            4,
            "resources.api.budget",
            "'lots' is no request budget",
            "write requests/time, such as 60/15m",
        ),
    ],
    "request_budget_too_small.yaml": [
        (
            "request_budget_too_small.yaml",
            2,
            "resources.api.budget",
            "up to 103 requests in 15 min are asked of it, and it has 25: api-health every 10.0 s,"
            " api-list 3 every 5 min",
            "write at least `budget: 103/15m`, or at least `every: 151s` for each check",
        ),
        (
            "request_budget_too_small.yaml",
            5,
            "resources.manager.budget",
            "up to 92 requests in 1 min are asked of it, and it has 60: manager every 1.0 s, driver"
            " of worker every 2.0 s",
            "write at least `budget: 92/1m`, or at least `every: 3s` for each check",
        ),
    ],
    "resource_address_of_another_scheme.yaml": [
        (
            "resource_address_of_another_scheme.yaml",
            2,
            "resources.bus.redis",
            "is no redis address",
            "write redis:// or rediss://host:port/…",
        ),
        (
            "resource_address_of_another_scheme.yaml",
            3,
            "resources.database.postgres",
            "is no postgres address",
            "write postgresql:// or postgres://host:port/…",
        ),
        (
            "resource_address_of_another_scheme.yaml",
            4,
            "resources.api.http",
            "is no http address",
            "write http:// or https://host:port/…",
        ),
    ],
    "resource_address_of_no_use.yaml": [
        (
            "resource_address_of_no_use.yaml",
            2,
            "resources.empty.redis",
            "is no redis address",
            "write redis:// or rediss://host:port/…",
        ),
        (
            "resource_address_of_no_use.yaml",
            3,
            "resources.word.redis",
            "names its database by a word: it is a number, such as redis://host:6379/0",
            "write redis:// or rediss://host:port/…",
        ),
        (
            "resource_address_of_no_use.yaml",
            4,
            "resources.option.redis",
            "has the option `socket_timeout`, which an address can't have",
            "write redis:// or rediss://host:port/…",
        ),
        (
            "resource_address_of_no_use.yaml",
            5,
            "resources.dsn.postgres",
            'is no postgres address: invalid URI query parameter: "sslmod"',
            "write postgresql:// or postgres://host:port/…",
        ),
        (
            "resource_address_of_no_use.yaml",
            6,
            "resources.quote.postgres",
            "is no postgres address",
            "write postgresql:// or postgres://host:port/…",
        ),
        (
            "resource_address_of_no_use.yaml",
            7,
            "resources.port.postgres",
            "is no postgres address",
            "write postgresql:// or postgres://host:port/…",
        ),
        (
            "resource_address_of_no_use.yaml",
            8,
            "resources.query.http",
            "has a query or a fragment: that belongs into the `path` of a check",
            "write http:// or https://host:port/…",
        ),
        (
            "resource_address_of_no_use.yaml",
            9,
            "resources.blank.http",
            "is no http address",
            "write http:// or https://host:port/…",
        ),
    ],
    "resource_keys_without_effect.yaml": [
        (
            "resource_keys_without_effect.yaml",
            2,
            "resources.bus.budget",
            "a redis resource has no `budget`",
            "remove it",
        ),
        (
            "resource_keys_without_effect.yaml",
            2,
            "resources.bus.password_file",
            "password and password_file exclude each other",
            "a password has one place: keep one of them",
        ),
        (
            "resource_keys_without_effect.yaml",
            3,
            "resources.api.headers",
            "header 'X-Key' holds a line break",
            "write it as one line",
        ),
        (
            "resource_keys_without_effect.yaml",
            3,
            "resources.api.timeout",
            "a http resource has no `timeout`",
            "remove it",
        ),
        (
            "resource_keys_without_effect.yaml",
            3,
            "resources.api.user_agent",
            "holds a line break",
            "write it as one line",
        ),
    ],
    "resource_not_clear.yaml": [
        (
            "resource_not_clear.yaml",
            7,
            "checks[0]",
            "kind redis_server needs a redis resource, and it is not clear which",
            "add `resource: name`; known: bus, cache",
        ),
    ],
    "resource_of_the_wrong_type.yaml": [
        (
            "resource_of_the_wrong_type.yaml",
            10,
            "checks[0].resource",
            "resource bus is of type redis, not http",
            "known: api",
        ),
    ],
    "resource_without_address.yaml": [
        (
            "resource_without_address.yaml",
            2,
            "resources.bus",
            "needs exactly one of redis, postgres, http",
            'write `bus: {redis: "redis://host:6379/0"}`',
        ),
        (
            "resource_without_address.yaml",
            3,
            "resources.both",
            "needs exactly one of redis, postgres, http",
            'write `bus: {redis: "redis://host:6379/0"}`',
        ),
    ],
    "same_check_in_two_files": [
        (
            "more.yaml",
            2,
            "[1].name",
            "check `api-port` is given twice (first in same_check_in_two_files/api.yaml:1)",
            "keep one of them",
        ),
    ],
    "same_component_in_two_files": [
        (
            "sentinel.yaml",
            3,
            "components.api",
            "component `api` is given twice (first in same_component_in_two_files/more.yaml:3)",
            "keep one of them",
        ),
    ],
    "same_setting_in_two_files": [
        (
            "sentinel.yaml",
            1,
            "platform",
            "key `platform` is given twice (first in same_setting_in_two_files/more.yaml:1)",
            "keep one of them",
        ),
    ],
    "secret_in_a_wrong_place.yaml": [
        (
            "secret_in_a_wrong_place.yaml",
            2,
            "resources.bus.password",
            "must be text, found a value that is not shown",
            'write text, in quotes where it looks like something else: "…"',
        ),
        (
            "secret_in_a_wrong_place.yaml",
            3,
            "resources.api.headers",
            "must be a mapping, found a value that is not shown",
            "write `key: value` lines, indented, below it",
        ),
    ],
    "trusted_hosts.yaml": [
        (
            "trusted_hosts.yaml",
            4,
            "trusted_hosts[1]",
            "'Status.Example.com.' is given twice",
            "keep one of them",
        ),
        (
            "trusted_hosts.yaml",
            5,
            "trusted_hosts[2]",
            "'https://status.example.com/' is more than a host",
            "write it without scheme and path: name or name:port",
        ),
        (
            "trusted_hosts.yaml",
            6,
            "trusted_hosts[3]",
            "'*.example.com' is no name of a host",
            "write one name as it stands in the address bar: no user, no wildcard",
        ),
        (
            "trusted_hosts.yaml",
            7,
            "trusted_hosts[4]",
            "'fd00::1' is ambiguous",
            "write an IPv6 address in brackets: [::1]:443",
        ),
        (
            "trusted_hosts.yaml",
            8,
            "trusted_hosts[5]",
            "'[::]' names no host",
            "write the name that people open",
        ),
        (
            "trusted_hosts.yaml",
            9,
            "trusted_hosts[6]",
            "'bücher.example' is not ASCII, as names in requests are",
            "write xn--bcher-kva.example",
        ),
        (
            "trusted_hosts.yaml",
            10,
            "trusted_hosts[7]",
            "'status.example.com:99999' has no valid port after the colon",
            "write a port from 1 to 65535, or none",
        ),
        (
            "trusted_hosts.yaml",
            11,
            "trusted_hosts[8]",
            "'127.1' is no IPv4 address",
            "write all four numbers: 10.0.0.7",
        ),
    ],
    "two_cycles.yaml": [
        (
            "two_cycles.yaml",
            2,
            "components.a.depends_on",
            "dependency cycle: a → b → a",
            "remove one of these edges",
        ),
        (
            "two_cycles.yaml",
            4,
            "components.c.depends_on",
            "dependency cycle: c → d → c",
            "remove one of these edges",
        ),
    ],
    "places_and_names.yaml": [
        ("places_and_names.yaml", 1, "state", "'' is no folder", "write a path, such as ./var"),
        (
            "places_and_names.yaml",
            2,
            "report_templates",
            "there is no folder no/such/folder",
            "make it, or leave the key out",
        ),
        (
            "places_and_names.yaml",
            3,
            "tasks_per_hour_target",
            "input should be greater than 0 (found int '-5')",
            "correct the value",
        ),
        (
            "places_and_names.yaml",
            6,
            "objectives[1].name",
            "objective `one` is given twice",
            "keep one of them",
        ),
    ],
    "environment_reference_garbled.yaml": [
        (
            "environment_reference_garbled.yaml",
            1,
            "platform",
            "holds a `${` that names no environment variable",
            REFERENCE,
        ),
        (
            "environment_reference_garbled.yaml",
            2,
            "state",
            "holds a `${` that names no environment variable",
            REFERENCE,
        ),
        (
            "environment_reference_garbled.yaml",
            3,
            "components.a.group",
            "holds a `${` that names no environment variable",
            REFERENCE,
        ),
    ],
    "section_in_two_shapes": [
        (
            "a.yaml",
            1,
            "components",
            "must be a mapping, found str 'api'",
            "write `key: value` lines, indented, below it",
        ),
    ],
    "several_documents.yaml": [
        (
            "several_documents.yaml",
            2,
            "",
            "has several documents",
            "one document for each file: remove the `---` lines",
        ),
    ],
    "tab.yaml": [
        (
            "tab.yaml",
            3,
            "",
            "is not YAML: found character that cannot start any token",
            "mend the syntax at this line",
        ),
    ],
    "threshold_without_clear.yaml": [
        (
            "threshold_without_clear.yaml",
            11,
            "checks[0].thresholds.duration_seconds.degraded.clear",
            "the key `clear` is missing",
            "add it, such as `clear: 10`",
        ),
    ],
    "unknown_component.yaml": [
        (
            "unknown_component.yaml",
            6,
            "checks[0].component",
            "unknown component `orchestrater`",
            "did you mean `orchestrator`?",
        ),
    ],
    "unknown_dependency.yaml": [
        (
            "unknown_dependency.yaml",
            4,
            "components.api.depends_on[0]",
            "unknown component `databse`",
            "did you mean `database`?",
        ),
    ],
    "unknown_key.yaml": [
        ("unknown_key.yaml", 2, "lisen", "unknown key `lisen`", "did you mean `listen`?"),
    ],
    "unknown_key_inside_an_option.yaml": [
        (
            "unknown_key_inside_an_option.yaml",
            6,
            "checks[0].latency.worse",
            "unknown key `worse`",
            "known: degraded, down",
        ),
    ],
    "unknown_key_of_a_check.yaml": [
        (
            "unknown_key_of_a_check.yaml",
            4,
            "checks[0].address",
            "the key `address` is missing",
            'add it, such as `address: "127.0.0.1:5432"`',
        ),
        (
            "unknown_key_of_a_check.yaml",
            7,
            "checks[0].adress",
            "unknown key `adress`",
            "did you mean `address`?",
        ),
    ],
    "unknown_kind.yaml": [
        (
            "unknown_kind.yaml",
            5,
            "checks[0].kind",
            "unknown kind `tpc`",
            "did you mean `tcp`? (`sentinel kinds` lists them)",
        ),
    ],
    "unknown_measurement.yaml": [
        (
            "unknown_measurement.yaml",
            10,
            "checks[0].thresholds.latncy_seconds",
            "unknown measurement `latncy_seconds`",
            "did you mean `duration_seconds`?",
        ),
    ],
    "unknown_resource.yaml": [
        (
            "unknown_resource.yaml",
            4,
            "components.bus.resource",
            "unknown resource `buss`",
            "did you mean `bus`?",
        ),
        (
            "unknown_resource.yaml",
            9,
            "checks[0].resource",
            "unknown resource `but`",
            "did you mean `bus`?",
        ),
    ],
    "unknown_time_zone.yaml": [
        (
            "unknown_time_zone.yaml",
            4,
            "reports[0].timezone",
            "unknown time zone 'Europe/Berlinn'",
            "such as Europe/Berlin",
        ),
        (
            "unknown_time_zone.yaml",
            5,
            "reports[1].cron",
            "'0 25 * * *' is no cron line: hour '25' is not 0 to 23",
            'as crontab(5) has it, such as "0 8,20 * * *"',
        ),
    ],
    "wrong_type.yaml": [
        (
            "wrong_type.yaml",
            1,
            "platform",
            "must be text, found int '7'",
            'write text, in quotes where it looks like something else: "…"',
        ),
        (
            "wrong_type.yaml",
            3,
            "components.api.depends_on",
            "must be a list, found str 'bus'",
            "write a list: [one, two]",
        ),
        (
            "wrong_type.yaml",
            10,
            "checks[0].failures",
            "must be a whole number, found str '3'",
            "write a number without quotes",
        ),
    ],
}


def problems_of(path, environment=()):
    """What a configuration is refused for."""
    with pytest.raises(ConfigurationError) as caught:
        load(path, dict(environment))
    assert caught.value.exit_code == 78
    return caught.value.problems


@pytest.mark.parametrize("mistake", EXPECTED)
def test_each_mistake_is_explained(mistake):
    """Exactly the expected problems: nothing is missed, nothing is said twice, nothing follows from
    another.
    """
    found = [
        (Path(p.file).name, p.line, p.key, p.message.replace(f"{FOLDER}/", ""), p.remedy)
        for p in problems_of(FOLDER / mistake)
    ]
    assert found == EXPECTED[mistake]


def test_every_fixture_is_expected():
    """No fixture without its expectation."""
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(EXPECTED)


def test_every_problem_has_a_remedy():
    """Nobody is left with a complaint alone."""
    assert all(remedy for problems in EXPECTED.values() for *_, remedy in problems)
