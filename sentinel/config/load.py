"""Read a folder (or one file), check it as a whole, build the Configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apscheduler.triggers.cron import CronTrigger
from pydantic import BaseModel, SecretStr, ValidationError

from sentinel.config.address import SCHEMES, find_address_fault
from sentinel.config.build import find_secrets, make_check, make_component, make_level
from sentinel.config.component import read_options
from sentinel.config.document import Document, Path_, read_document
from sentinel.config.explain import one_of, problem_of, unknown_message
from sentinel.config.housekeeping import read_chores
from sentinel.config.model import (
    CheckSettings,
    ComponentSettings,
    Configuration,
    Diagnosing,
    Overrides,
    PlatformSettings,
    Report,
    Resource,
    ResourceSettings,
)
from sentinel.core.model import Check, Component, Threshold
from sentinel.core.quantity import parse_duration
from sentinel.core.remediation.brake import ActionLimits, BrakePolicy
from sentinel.core.remediation.breaker import BreakerPolicy
from sentinel.errors import ConfigurationError, Problem
from sentinel.probes import Kind, load_kinds
from sentinel.remediation import DriverKind, load_drivers
from sentinel.remediation import Options as DriverOptions

M = TypeVar("M", bound=BaseModel)

_FOREIGN_KEYS = {
    "redis": {"budget", "user_agent", "headers"},
    "postgres": {"budget", "user_agent", "headers"},
    "http": {"password", "password_file", "timeout"},
}
_LINE_BREAK = re.compile(r"[\r\n\0]")


def shipped_folder(name: str) -> Path:
    """A folder that travels with the package: checks, dashboards, runbooks."""
    return Path(__file__).resolve().parents[1] / "shipped" / name


def load(path: Path, environment: Mapping[str, str] | None = None) -> Configuration:
    """The configuration of a folder of YAML files, or of one file. Raises ConfigurationError with
    all problems.
    """
    return _Loader(path, os.environ if environment is None else environment).load()


class _Loader:
    """One reading of one folder. Collects problems; raises once, at the end."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self._path = path
        self._environment = environment
        self._kinds = load_kinds()
        self._drivers = load_drivers()
        self._unobserved: set[str] = set()
        self._documents: list[Document] = []
        self._problems: list[Problem] = []
        self._places: dict[tuple[str, str], tuple[Document, Path_]] = {}
        self._settings: dict[str, Any] = {}
        self._raw_checks: list[tuple[Document, Path_, Any]] = []

    def load(self) -> Configuration:
        """All steps in order; nothing is built from a configuration with problems."""
        self._read()
        settings = self._validate_settings()
        resources = self._resources(settings)
        components = self._components(settings, resources)
        checks = self._checks(settings, resources)
        self._check_needed(settings)
        self._check_reports(settings)
        self._check_objectives(settings)
        self._check_places(settings)
        chores = read_chores(settings.housekeeping, self._place, resources)
        listen = self._listen(settings)
        overrides = self._overrides()
        self._raise_problems()
        return replace(
            self._build(settings, overrides, resources, components, checks, listen), chores=chores
        )

    # -- read -----------------------------------------------------------------------------------

    def _read(self) -> None:
        for file in self._files():
            document = read_document(file, self._environment)
            self._documents.append(document)
            self._take(document)
        if (
            self._watches_nothing()
            and not self._problems
            and not any(d.problems for d in self._documents)
        ):
            self._problem(
                str(self._path),
                "has no checks",
                "add a file with a list of checks (`sentinel kinds`)",
            )

    def _watches_nothing(self) -> bool:
        """Neither a check nor a component with a driver, which has one by itself."""
        components = self._settings.get("components")
        each = components.values() if isinstance(components, dict) else ()
        return not self._raw_checks and not any(
            isinstance(item, dict) and item.get("driver") for item in each
        )

    def _files(self) -> list[Path]:
        """The *.yaml of the folder, without hidden ones: an editor's lock or backup is no
        configuration.
        """
        remedy = "name the folder with `--config`, or copy one from checks/packs/"
        try:
            if self._path.is_file():
                return [self._path]
            names = sorted(path for path in self._path.iterdir() if not path.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            self._problem(str(self._path), "is no folder", remedy)
            return []
        except OSError as error:
            self._problem(
                str(self._path), f"can't be read: {error.strerror}", "check the path and its rights"
            )
            return []
        files = [path for path in names if path.suffix in {".yaml", ".yml"}]
        if not files:
            self._problem(str(self._path), "has no *.yaml file", remedy)
        return files

    def _take(self, document: Document) -> None:
        if isinstance(document.value, list):
            self._raw_checks += [(document, (i,), item) for i, item in enumerate(document.value)]
        elif isinstance(document.value, dict):
            self._take_settings(document, document.value)
        elif document.value is not None:
            document.add(
                (),
                "is neither a list of checks nor a mapping of settings",
                "begin with `- name:` or `key:`",
            )

    def _take_settings(self, document: Document, value: dict[str, Any]) -> None:
        for key, item in value.items():
            if key in {"resources", "components"} and isinstance(item, dict):
                if isinstance(self._settings.get(key, {}), dict):
                    self._merge(document, key, item)
            elif key == "checks" and isinstance(item, list):
                self._raw_checks += [
                    (document, ("checks", i), check) for i, check in enumerate(item)
                ]
            elif self._is_new(document, "", key, (key,)):
                self._settings[key] = item

    def _merge(self, document: Document, section: str, items: dict[str, Any]) -> None:
        merged = self._settings.setdefault(section, {})
        self._places.setdefault(("", section), (document, (section,)))
        for name, item in items.items():
            if self._is_new(document, section, name, (section, name)):
                merged[name] = item

    def _is_new(self, document: Document, section: str, name: str, path: Path_) -> bool:
        known = self._places.get((section, name))
        if known is None:
            self._places[section, name] = (document, path)
            return True
        first, where = known
        what = f"{section.removesuffix('s') or 'key'} `{name}`"
        document.add(
            path,
            f"{what} is given twice (first in {first.file}:{first.line(where)})",
            "keep one of them",
        )
        return False

    # -- validate ---------------------------------------------------------------------------------

    def _validate_settings(self) -> PlatformSettings:
        try:
            return PlatformSettings.model_validate(self._settings)
        except ValidationError as error:
            for item in error.errors(include_url=False):
                document, base = self._place(item["loc"])
                document.take(problem_of(document, base, item, PlatformSettings))
        return PlatformSettings.model_validate(self._good_settings())

    def _good_settings(self) -> dict[str, Any]:
        """What is valid by itself, so that the other problems of the same file are found in the
        same run.
        """
        good: dict[str, Any] = {}
        for key, value in self._settings.items():
            if key in {"resources", "components"} and isinstance(value, dict):
                good[key] = {
                    name: item for name, item in value.items() if self._is_good(key, {name: item})
                }
            elif self._is_good(key, value):
                good[key] = value
        return good

    @staticmethod
    def _is_good(key: str, value: Any) -> bool:
        try:
            PlatformSettings.model_validate({key: value})
        except ValidationError:
            return False
        return True

    def _place(self, loc: tuple[str | int, ...]) -> tuple[Document, Path_]:
        for key in (tuple(str(part) for part in loc[:2]), ("", str(loc[0]) if loc else "")):
            if len(key) == 2 and (key[0], key[1]) in self._places:
                return self._places[key[0], key[1]][0], tuple(loc)
        return self._documents[0], tuple(loc)

    def _names(self, section: str) -> set[str]:
        """Every name that a section has, those with problems among them: a second complaint would
        not help.
        """
        given = self._settings.get(section, {})
        return set(given) if isinstance(given, dict) else _Everything()

    def _resources(self, settings: PlatformSettings) -> dict[str, Resource]:
        resources = {name: self._resource(name, item) for name, item in settings.resources.items()}
        return {name: resource for name, resource in resources.items() if resource is not None}

    def _resource(self, name: str, item: ResourceSettings) -> Resource | None:
        at = ("resources", name)
        given = [kind for kind in SCHEMES if getattr(item, kind) is not None]
        if len(given) != 1:
            self._at(
                at,
                "needs exactly one of redis, postgres, http",
                'write `bus: {redis: "redis://host:6379/0"}`',
            )
            return None
        kind = given[0]
        address = str(getattr(item, kind))
        self._check_keys(at, kind, item)
        if not self._is_address(at, kind, address):
            return None
        password = item.password or self._secret_file((*at, "password_file"), item.password_file)
        return Resource(name, kind, address, password, self._client_options(at, kind, item))

    def _check_keys(self, at: tuple[str, str], kind: str, item: ResourceSettings) -> None:
        """A key that has no effect is a mistake, and what can't be sent in a header is told here,
        not at each run.
        """
        for key in sorted(item.model_fields_set & _FOREIGN_KEYS[kind]):
            self._at((*at, key), f"a {kind} resource has no `{key}`", "remove it")
        if item.password is not None and item.password_file is not None:
            self._at(
                (*at, "password_file"),
                "password and password_file exclude each other",
                "keep one of them",
            )
        for name, value in item.headers.items():
            if _LINE_BREAK.search(name + value.get_secret_value()):
                self._at(
                    (*at, "headers"), f"header {name!r} holds a line break", "write it as one line"
                )
        if _LINE_BREAK.search(item.user_agent):
            self._at((*at, "user_agent"), "holds a line break", "write it as one line")

    def _is_address(self, at: tuple[str, str], kind: str, address: str) -> bool:
        fault = find_address_fault(kind, address)
        if fault is not None:
            self._at((*at, kind), *fault)
        return fault is None

    def _client_options(
        self, at: tuple[str, str], kind: str, item: ResourceSettings
    ) -> dict[str, Any]:
        if kind == "redis":
            return {"timeout": item.timeout}
        if kind == "postgres":
            return {"statement_timeout": item.timeout}
        headers = {name: value.get_secret_value() for name, value in item.headers.items()}
        return {
            "user_agent": item.user_agent,
            "headers": headers,
            "budget": self._budget(at, item.budget),
        }

    def _budget(self, at: tuple[str, str], text: str | None) -> tuple[int, float] | None:
        if text is None:
            return None
        count, _, time = text.partition("/")
        try:
            if int(count) > 0 and parse_duration(time) > 0:
                return int(count), parse_duration(time)
        except ValueError:
            pass
        self._at(
            (*at, "budget"), f"{text!r} is no request budget", "write requests/time, such as 60/15m"
        )
        return None

    def _secret_file(self, at: tuple[str, ...], name: str | None) -> SecretStr | None:
        if name is None:
            return None
        path = self._relative(name)
        try:
            text = path.read_text("utf-8").strip()
            if path.stat().st_mode & 0o007:
                self._at(at, f"the secret file {name} is readable by everyone", f"chmod 600 {name}")
            return SecretStr(text)
        except OSError as error:
            self._at(
                at,
                f"the secret file {name} can't be read: {error.strerror}",
                "check the path and its rights",
            )
        except ValueError:
            self._at(
                at,
                f"the secret file {name} is not UTF-8 text",
                "write the secret as one line of text",
            )
        return None

    def _components(
        self, settings: PlatformSettings, resources: Mapping[str, Resource]
    ) -> tuple[Component, ...]:
        known = settings.components
        for name, item in known.items():
            at = ("components", name)
            if item.resource and item.resource not in self._names("resources"):
                self._unknown((*at, "resource"), "resource", item.resource, settings.resources)
            for i, dependency in enumerate(item.depends_on):
                if dependency not in self._names("components"):
                    self._unknown((*at, "depends_on", i), "component", dependency, known)
        options = {
            name: self._driver_options(name, item, settings, resources)
            for name, item in known.items()
        }
        watched = {name: self._watched(("components", name), item) for name, item in known.items()}
        return tuple(
            make_component(name, known[name], options[name], watched[name])
            for name in self._dependency_order(known)
        )

    def _watched(self, at: tuple[str, str], item: ComponentSettings) -> tuple[str, ...]:
        """Paths whose change has the component reload or restart; relative to the configuration."""
        if item.watch and not item.driver:
            self._at(
                (*at, "watch"), "a watch needs a driver", "add `driver: process` or another one"
            )
        paths = [self._relative(name) for name in item.watch]
        for i, path in enumerate(paths):
            if not path.exists():
                self._at(
                    (*at, "watch", i),
                    f"there is no file or folder {path}",
                    "make it, or correct the path",
                )
        return tuple(str(path.resolve()) for path in paths)

    def _driver_options(
        self,
        name: str,
        item: ComponentSettings,
        settings: PlatformSettings,
        resources: Mapping[str, Resource],
    ) -> DriverOptions | None:
        """What the component's driver is told, with the resources that it is to use."""
        document, path = self._place(("components", name))
        options = read_options(document, path, item, self._drivers)
        if options is None:
            return None
        kind = self._drivers[item.driver]
        if not kind.observes(options):
            self._unobserved.add(name)
        roles = self._roles(document, path, kind, item.model_extra or {}, name, settings, resources)
        return options.model_copy(update=roles) if roles else options

    def _dependency_order(self, known: Mapping[str, ComponentSettings]) -> list[str]:
        graph = {name: [d for d in item.depends_on if d in known] for name, item in known.items()}
        order: list[str] = []
        while graph and not order:
            try:
                order = list(TopologicalSorter(graph).static_order())
            except CycleError as error:
                # Its edges are taken out, so that the next cycle is told in the same run.
                names = error.args[1]
                message = f"dependency cycle: {' → '.join(reversed(names))}"
                self._at(
                    ("components", names[0], "depends_on"), message, "remove one of these edges"
                )
                for needed, name in pairwise(names):
                    graph[name] = [d for d in graph[name] if d != needed]
        return order

    # -- checks -----------------------------------------------------------------------------------

    def _checks(
        self, settings: PlatformSettings, resources: Mapping[str, Resource]
    ) -> tuple[Check, ...]:
        checks = (
            self._check(document, path, raw, settings, resources)
            for document, path, raw in self._raw_checks
        )
        return tuple(check for check in list(checks) if check is not None)

    def _check(
        self,
        document: Document,
        path: Path_,
        raw: Any,
        settings: PlatformSettings,
        resources: Mapping[str, Resource],
    ) -> Check | None:
        if not isinstance(raw, dict):
            document.add(path, "is no check", "write `- name: …`, `kind: …`, `component: …`")
            return None
        kind = self._kind(document, path, raw.get("kind"))
        own = {key: value for key, value in raw.items() if key in CheckSettings.model_fields}
        base = self._validated(document, path, CheckSettings, own)
        rest = {key: value for key, value in raw.items() if key not in CheckSettings.model_fields}
        options = self._validated(document, path, kind.options, rest) if kind else None
        is_new = self._check_names(document, path, raw, settings)
        if base is None or kind is None or not is_new:
            return None
        roles = self._roles(document, path, kind, rest, base.component, settings, resources)
        thresholds = self._thresholds(document, path, kind, base)
        if options is None:
            return None
        return make_check(
            base, kind, options, roles, thresholds, f"{document.file}:{document.line(path)}"
        )

    def _check_names(
        self, document: Document, path: Path_, raw: dict[str, Any], settings: PlatformSettings
    ) -> bool:
        """The name is new and free, and the component exists; said even when other keys of the
        check are wrong.
        """
        name, component = raw.get("name"), raw.get("component")
        if isinstance(component, str) and component not in self._names("components"):
            document.add(
                (*path, "component"), *unknown_message("component", component, settings.components)
            )
        if not isinstance(name, str):
            return False
        self._is_free(document, path, name, settings)
        return self._is_new(document, "check", name, (*path, "name"))

    def _is_free(
        self, document: Document, path: Path_, name: str, settings: PlatformSettings
    ) -> None:
        """The check that a component has by its driver owns its name."""
        component = name.removesuffix(".process")
        if (
            component != name
            and component in settings.components
            and self._is_observed(component, settings)
        ):
            message = (
                f"the name `{name}` belongs to the check that the driver of {component} brings"
                " along"
            )
            document.add((*path, "name"), message, "choose another name")

    def _kind(self, document: Document, path: Path_, name: Any) -> Kind | None:
        kind = self._kinds.get(name) if isinstance(name, str) else None
        if kind is None and name is not None:
            document.add(
                (*path, "kind"),
                *unknown_message("kind", str(name), self._kinds, "`sentinel kinds`"),
            )
        return kind

    @staticmethod
    def _validated(document: Document, path: Path_, model: type[M], value: Any) -> M | None:
        try:
            return model.model_validate(value)
        except ValidationError as error:
            for item in error.errors(include_url=False):
                document.take(problem_of(document, (*path, *item["loc"]), item, model))
        return None

    def _roles(
        self,
        document: Document,
        path: Path_,
        kind: Kind | DriverKind,
        options: Mapping[str, Any],
        component: str,
        settings: PlatformSettings,
        resources: Mapping[str, Resource],
    ) -> dict[str, str]:
        """Which resource serves each role of a kind or driver: named, the component's, or the only
        one of its type.
        """
        roles: dict[str, str] = {}
        for role, wanted in kind.resources.items():
            type_, optional = wanted.removesuffix("?"), wanted.endswith("?")
            fitting = [name for name, resource in resources.items() if resource.type == type_]
            named = options.get(role)
            if named is not None and not isinstance(named, str):
                continue  # the kind's options have refused it already
            own = (
                settings.components[component].resource if component in settings.components else ""
            )
            name = named or (own if own in fitting else fitting[0] if len(fitting) == 1 else "")
            if name in fitting:
                roles[role] = name
            elif named in self._names("resources"):
                if named in resources:
                    found = resources[named].type
                    document.add(
                        (*path, role),
                        f"resource {named} is of type {found}, not {type_}",
                        one_of(fitting),
                    )
            elif named:
                document.add((*path, role), *unknown_message("resource", str(named), fitting))
            elif not optional and not self._is_broken(type_, resources):
                word = "kind" if isinstance(kind, Kind) else "driver"
                message = f"{word} {kind.name} needs a {type_} resource, and it is not clear which"
                document.add(path, message, f"add `{role}: name`; {one_of(fitting)}")
        return roles

    def _is_broken(self, type_: str, resources: Mapping[str, Resource]) -> bool:
        """Whether a resource of this type has a problem of its own: then that is the one to mend."""
        given = self._settings.get("resources")
        items = given.items() if isinstance(given, dict) else ()
        return any(
            name not in resources and isinstance(item, dict) and type_ in item
            for name, item in items
        )

    @staticmethod
    def _thresholds(
        document: Document, path: Path_, kind: Kind, base: CheckSettings
    ) -> tuple[Threshold, ...]:
        known = {measurement.name for measurement in kind.measurements}
        for name in base.thresholds:
            if name not in known:
                document.add(
                    (*path, "thresholds", name), *unknown_message("measurement", name, known)
                )
        return tuple(
            Threshold(name, make_level(item.degraded), make_level(item.down))
            for name, item in base.thresholds.items()
        )

    # -- the rest ---------------------------------------------------------------------------------

    def _check_needed(self, settings: PlatformSettings) -> None:
        """A dependency that nobody checks is never proven healthy: what needs it would never be
        restarted.
        """
        judged = {raw.get("component") for _, _, raw in self._raw_checks if isinstance(raw, dict)}
        judged |= {name for name in settings.components if self._is_observed(name, settings)}
        for name, item in settings.components.items():
            if item.driver and name not in judged:
                message = (
                    f"driver {item.driver} can't tell whether {name} runs: it would never be"
                    " restarted"
                )
                self._at(
                    ("components", name, "driver"),
                    message,
                    f"give its driver a status, or add a check of {name}",
                )
            for i, needed in enumerate(item.depends_on if item.driver else ()):
                if needed in settings.components and needed not in judged:
                    message = (
                        f"no check says whether `{needed}` is healthy: {name} would never be"
                        " restarted"
                    )
                    self._at(
                        ("components", name, "depends_on", i), message, f"add a check of {needed}"
                    )

    def _is_observed(self, name: str, settings: PlatformSettings) -> bool:
        """Whether the component has a check by itself: its driver asks."""
        return bool(settings.components[name].driver) and name not in self._unobserved

    def _check_reports(self, settings: PlatformSettings) -> None:
        for i, report in enumerate(settings.reports):
            try:
                zone = ZoneInfo(report.timezone)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                self._at(
                    ("reports", i, "timezone"),
                    f"unknown time zone {report.timezone!r}",
                    "such as Europe/Berlin",
                )
                continue
            try:
                CronTrigger.from_crontab(report.cron, timezone=zone).get_next_fire_time(
                    None, datetime.now(UTC)
                )
            except ValueError as error:
                self._at(
                    ("reports", i, "cron"),
                    f"{report.cron!r} is no cron line: {error}",
                    'such as "0 8,20 * * *"',
                )

    def _check_places(self, settings: PlatformSettings) -> None:
        """Folders that sentinel is to use: a state folder has a name, and templates are there."""
        if not settings.state or "\0" in settings.state:
            self._at(("state",), f"{settings.state!r} is no folder", "write a path, such as ./var")
        if settings.report_templates and not self._relative(settings.report_templates).is_dir():
            message = f"there is no folder {self._relative(settings.report_templates)}"
            self._at(("report_templates",), message, "make it, or leave the key out")

    def _check_objectives(self, settings: PlatformSettings) -> None:
        seen: set[str] = set()
        for i, objective in enumerate(settings.objectives):
            if objective.name in seen:
                self._at(
                    ("objectives", i, "name"),
                    f"objective `{objective.name}` is given twice",
                    "keep one of them",
                )
            seen.add(objective.name)
        names = [raw.get("name") for _, _, raw in self._raw_checks if isinstance(raw, dict)]
        for i, objective in enumerate(settings.objectives):
            if objective.check not in names:
                self._unknown(
                    ("objectives", i, "check"),
                    "check",
                    objective.check,
                    [str(name) for name in names],
                )

    def _listen(self, settings: PlatformSettings) -> tuple[str, int]:
        address = self._environment.get("SENTINEL_LISTEN", settings.listen)
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        if not host or not (port.isascii() and port.isdigit()) or int(port[:6]) > 65535:
            self._listen_problem(
                f"{address!r} is no address to listen on", "write host:port, such as 127.0.0.1:9130"
            )
            return "127.0.0.1", 0
        if host not in {"127.0.0.1", "::1", "localhost"}:
            message = (
                f"{host} is not loopback, and sentinel has no TLS and no authentication of its own"
            )
            remedy = "listen on 127.0.0.1 and put a proxy with TLS and authentication before it"
            self._listen_problem(message, remedy)
        return host, int(port)

    def _listen_problem(self, message: str, remedy: str) -> None:
        if "SENTINEL_LISTEN" in self._environment:
            self._problem("environment", message, remedy, key="SENTINEL_LISTEN")
        else:
            self._at(("listen",), message, remedy)

    def _overrides(self) -> Overrides:
        try:
            return Overrides()
        except ValidationError as error:
            for item in error.errors(include_url=False):
                name = f"SENTINEL_{str(item['loc'][0]).upper()}"
                self._problem("environment", item["msg"], f"correct or unset {name}", key=name)
            return Overrides.model_construct()

    def _build(
        self,
        settings: PlatformSettings,
        overrides: Overrides,
        resources: Mapping[str, Resource],
        components: tuple[Component, ...],
        checks: tuple[Check, ...],
        listen: tuple[str, int],
    ) -> Configuration:
        enabled = (
            settings.actions.enabled
            if overrides.actions_enabled is None
            else overrides.actions_enabled
        )
        templates = self._relative(settings.report_templates) if settings.report_templates else None
        document, path = self._places.get(("", "listen"), (self._documents[0], ()))
        return Configuration(
            platform=settings.platform,
            listen=listen,
            state=Path(overrides.state or settings.state),
            resources=resources,
            components=components,
            checks=checks,
            actions_enabled=enabled,
            start_grace=settings.actions.start_grace,
            limits=ActionLimits(**settings.actions.limits.model_dump()),
            brake=BrakePolicy(**settings.actions.brake.model_dump()),
            breaker=BreakerPolicy(**settings.actions.breaker.model_dump()),
            runbooks=Diagnosing(**settings.runbooks.model_dump()),
            reports=tuple(Report(r.kind, r.cron, r.timezone) for r in settings.reports),
            report_templates=templates,
            tasks_per_hour_target=settings.tasks_per_hour_target,
            retention=settings.retention,
            secrets=frozenset(find_secrets(resources.values(), checks)),
            folder=self._path,
            listen_place=f"{document.file}:{document.line(path)}",
        )

    # -- problems ---------------------------------------------------------------------------------

    def _relative(self, name: str) -> Path:
        base = self._path if self._path.is_dir() else self._path.parent
        return Path(name) if Path(name).is_absolute() else base / name

    def _at(self, path: Path_, message: str, remedy: str) -> None:
        document, _ = self._place(path)
        document.add(path, message, remedy)

    def _unknown(self, path: Path_, what: str, name: str, known: Iterable[str]) -> None:
        self._at(path, *unknown_message(what, name, known))

    def _problem(self, file: str, message: str, remedy: str, key: str = "") -> None:
        self._problems.append(Problem(file, 0, key, message, remedy))

    def _raise_problems(self) -> None:
        problems = [
            *self._problems,
            *(problem for document in self._documents for problem in document.problems),
        ]
        if problems:
            raise ConfigurationError(list(dict.fromkeys(problems)))


class _Everything(set[str]):
    """The names of a section that could not be read: any may be in it."""

    def __contains__(self, _name: object) -> bool:
        return True
