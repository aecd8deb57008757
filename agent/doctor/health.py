"""Will a new system be judged as it should, and will it be known why one did not stay?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.doctor.finding import Finding, error, note, ok
from agent.doctor.subject import Subject
from agent.health.cause.bootstatus import boot_status
from agent.health.directory import problems


def programs(subject: Subject) -> Iterator[Finding]:
    """The directory of health programs, without running them."""
    directory = subject.config.health.directory
    found = problems(directory) if directory is not None else []
    if found:
        yield error("health.programs", "; ".join(found))
    else:
        yield ok(
            "health.programs", f"every program in {directory} can be run" if directory else "there is no directory"
        )


def traces(subject: Subject) -> Iterator[Finding]:
    """What outlasts a reset."""
    settings = subject.config.health
    places = [str(place) for place in settings.pstore if place.is_dir()]
    backend = _backend(subject.places.pstore)
    if not places:
        yield note("health.panics", "none of the places of health.pstore exists")
    elif not backend:
        yield note("health.panics", "the kernel has no memory that it could leave them in")
    else:
        yield ok("health.panics", f"kept by {backend}, looked for in {', '.join(places)}")
    if boot_status(settings.bootstatus).reports:
        yield ok("health.resets", "a watchdog tells whether it has caused the last reset")
    else:
        yield note("health.resets", "no watchdog tells whether it has caused the last reset")


def _backend(parameter: Path) -> str:
    """Who keeps the kernel's records; empty when nobody does. The directories are there all the same."""
    try:
        name = parameter.read_text("ascii", "replace").strip()
    except OSError:
        return ""
    return "" if name == "(null)" else name
