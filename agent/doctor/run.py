"""All checks, one after the other; what one of them stumbles over is a finding too."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from agent.doctor import boot, health, media, service, slots, state, system, trust
from agent.doctor.finding import Finding, Severity, error, failure, ok, warning
from agent.doctor.subject import Places, Subject, examine
from agent.doctor.table import ROWS
from agent.errors import explain

Check = Callable[[Subject], Iterable[Finding]]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("the boot environment", boot.environment),
    ("writing the boot environment", boot.proof),
    ("the devices of the slots", slots.devices),
    ("the target of the next update", slots.target),
    ("the content of the slots", slots.contents),
    ("the kernel's command line", slots.root_argument),
    ("the state directory", state.directory),
    ("the stored documents", state.documents),
    ("free space", state.space),
    ("the kernel", system.kernel),
    ("programs", system.programs),
    ("the clock", system.clock),
    ("the keyring", trust.keyring),
    ("the key for encrypted bundles", trust.encryption),
    ("the server's settings", trust.server),
    ("the health programs", health.programs),
    ("what outlasts a reset", health.traces),
    ("sticks and cards", media.media),
    ("the service", service.units),
)


def diagnose(
    files: Sequence[Path] | None = None,
    *,
    places: Places | None = None,
    may_write: bool = True,
    begin: Callable[[str], None] = lambda _: None,
) -> tuple[Finding, ...]:
    """Examines the device.

    Args:
        files: of the configuration; None takes those of the standard places.
        places: where the system tells about itself.
        may_write: whether a variable may be written to the boot environment, and removed again.
        begin: told what is looked at next.

    Returns:
        Everything that was looked at, in the order of the table.
    """
    found = [_rights()]
    begin("the configuration")
    subject, more = examine(files, places or Places(), may_write=may_write)
    found += more
    if subject is not None:
        for name, check in CHECKS:
            begin(name)
            found += _made(name, check, subject)
    order = list(ROWS)
    return tuple(sorted(found, key=lambda each: order.index(each.id)))


def worst(findings: Iterable[Finding]) -> Severity:
    """The worst of all."""
    return max((each.severity for each in findings), default=Severity.OK)


def _made(name: str, check: Check, subject: Subject) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(check(subject))
    except PermissionError as problem:
        found.append(warning("doctor.rights", f"{name}: {problem}"))
    except Exception as problem:  # noqa: BLE001 - whatever it is, the other checks are made
        if explain(problem)["code"] == "internal.unexpected":
            found.append(error("doctor.check", f"{name}: {type(problem).__name__}: {problem}"[:300]))
        else:
            found.append(failure("doctor.check", problem))
    return found


def _rights() -> Finding:
    if os.geteuid() == 0:
        return ok("doctor.rights", "it runs as root")
    return warning("doctor.rights", f"it runs as user {os.geteuid()}")
