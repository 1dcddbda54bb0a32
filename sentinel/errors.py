"""The whole exception tree, drawn here:

SentinelError                    message, guidance, exit code
├── UsageError                   64  the command line is wrong
│   └── UnknownName              64  it names what is not there
├── ConfigurationError           78  every problem at once, each with file, line, key and remedy
├── StateError                   78  the state folder or its database can't be used
│   └── StateUnwritable          69  its disk is full, read-only, failing or blocked: that may pass
│       └── StateStalled             it does not answer: it may still write what it was given
├── PortInUse                    69  the address to listen on is taken
├── NoDaemon                     69  nobody is there to carry out an order, or to answer in time
├── ActionRefused                75  a guard said no, with the reason
├── NotDelivered                     a notice did not reach its receiver, and whether it may later
└── TargetError                      a foreign system, in our words, with the verdict it justifies
    ├── TargetUnreachable            down: refused, reset, timed out
    │   └── ReplyLost                the request may have arrived and have had its effect
    ├── TargetStarting               degraded: answers, but is still loading or in recovery
    ├── TargetRejected               degraded or down: answered with an error of its own
    ├── WrongTarget                  unknown: another kind of server answers there
    ├── SubjectError                 unknown: that stream, group, table or column only
    └── NotMeasurable                unknown: our side: credentials, privileges, own pool, own stall
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sentinel.core.fault import REJECTED, STARTING, UNREACHABLE, Fault, Status
from sentinel.core.model import ErrorClass


class SentinelError(Exception):
    """Root of the tree. `guidance` is the next step for a person."""

    exit_code = 2
    error_class = ErrorClass.PERMANENT

    def __init__(self, message: str, guidance: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.guidance = guidance


class UsageError(SentinelError):
    """The command line is wrong."""

    exit_code = 64


class UnknownName(UsageError):
    """The command line, or a request, names what is not there."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong with the configuration, and how to mend it."""

    file: str
    line: int
    key: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f" {self.key}:" if self.key else ""
        remedy = f"\n    remedy: {self.remedy}" if self.remedy else ""
        return f"{place}:{key} {self.message}{remedy}"


class ConfigurationError(SentinelError):
    """The configuration can't be used; `problems` has them all, `digest` is that of its files."""

    exit_code = 78

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        self.digest = ""
        count = len(problems)
        lines = "\n".join(str(problem) for problem in self.problems)
        super().__init__(f"{count} problem{'s' * (count != 1)} in the configuration\n{lines}")


class StateError(SentinelError):
    """The state folder or its database can't be used."""

    exit_code = 78


class StateUnwritable(StateError):
    """The disk of the state takes nothing now: full, read-only, failing. The state itself is fine."""

    exit_code = 69


class StateStalled(StateUnwritable):
    """The disk of the state does not answer in time; what it was given may be written later."""


class PortInUse(SentinelError):
    """The address to listen on is taken."""

    exit_code = 69


class NoDaemon(SentinelError):
    """No daemon runs that could carry out an order, or it does not answer in time."""

    exit_code = 69


class ActionRefused(SentinelError):
    """A guard refused an action; the message is the reason."""

    exit_code = 75


class NotDelivered(SentinelError):
    """A notice was not delivered. `error_class` tells whether trying again may help: at once, never,
    or when a person has mended the channel (`OURS`). `retry_after`: for so many seconds the
    receiver asks to be left alone. `arrived`: it may have it all the same.
    """

    error_class = ErrorClass.TEMPORARY

    def __init__(
        self,
        message: str,
        guidance: str = "",
        *,
        error_class: ErrorClass = ErrorClass.TEMPORARY,
        retry_after: float | None = None,
        arrived: bool = False,
    ) -> None:
        super().__init__(message, guidance)
        self.error_class = error_class
        self.retry_after = retry_after
        self.arrived = arrived


class TargetError(SentinelError):
    """A foreign system failed or can't be judged. `status` is the verdict that this justifies,
    `fault` the key of the fault that it is, "" where nobody is blamed; `code` is its own word;
    `resource` who it was, as far as its client said so (`name_resource`). `matter` is the message
    without what is true of this very moment only: a fault outlives it.
    """

    status = Status.UNKNOWN
    fault = ""
    error_class = ErrorClass.TEMPORARY

    def __init__(self, message: str, guidance: str = "", *, code: str = "") -> None:
        super().__init__(message, guidance)
        self.code = code
        self.resource = ""
        self.matter = message

    def as_fault(self, resource: str = "") -> Fault:
        """The fault of the target itself that this is; only where `fault` has a key."""
        parameters = {"resource": resource} if resource else {}
        return Fault(
            self.fault,
            {},
            self.status,
            f"{resource}: {self.matter}" if resource else self.matter,
            guidance=self.guidance,
            parameters=parameters,
        )


class TargetUnreachable(TargetError):
    """Nobody answers: refused, reset, timed out."""

    status = Status.DOWN
    fault = UNREACHABLE


class ReplyLost(TargetUnreachable):
    """The request may have arrived, and no reply came: what it asked for may have happened, and is
    not repeated.
    """


class TargetStarting(TargetError):
    """Answers, but is loading or recovering: no reason to act."""

    status = Status.DEGRADED
    fault = STARTING


class TargetRejected(TargetError):
    """Answers with an error of its own (OOM, READONLY, MISCONF …)."""

    status = Status.DEGRADED
    fault = REJECTED


class AskedToRest(TargetRejected):
    """It has asked us to stay away for a time that is not over: nothing was sent."""


class WrongTarget(TargetError):
    """Another kind of server answers at the address."""

    error_class = ErrorClass.PERMANENT


class SubjectError(TargetError):
    """One stream, group, table or column can't be judged; its neighbours can."""

    error_class = ErrorClass.PERMANENT


class NotMeasurable(TargetError):
    """We can't tell, and it is our side: credentials, privileges, own pool, own stall."""

    error_class = ErrorClass.OURS


@contextmanager
def name_resource(name: str) -> Iterator[None]:
    """Have an error of a target that comes out of the block say which resource it was."""
    try:
        yield
    except TargetError as error:
        error.resource = error.resource or name
        raise
