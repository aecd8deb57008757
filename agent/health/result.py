"""What a check found, and what all checks together mean. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

MAX_TEXT = 300  # characters; it travels to the server, whose messages end at 512


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found; ``text`` says why it is red, or what was seen."""

    name: str
    ok: bool
    text: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement about a system.

    Attributes:
        ok: it is healthy.
        failed: what was red last; empty when it is healthy.
        cancelled: nothing was decided, because somebody asked to stop.
        late: the last round was green, but not soon enough; ``failed`` is then what was red before, if anything was.
    """

    ok: bool
    failed: tuple[CheckResult, ...] = ()
    cancelled: bool = False
    late: bool = False

    @property
    def text(self) -> str:
        """One line for a person."""
        if self.ok:
            return "all checks are green"
        return "; ".join(f"{result.name}: {result.text}" for result in self.failed) or "nothing was decided"


class Check(Protocol):
    """One question about the health of the system."""

    @property
    def name(self) -> str:
        """Short and stable: ``units``, ``command example``, ``mount /data``, ``server``."""
        ...

    def run(self) -> CheckResult:
        """Answers within the time that the check was built with."""
        ...


def green(name: str, text: str = "") -> CheckResult:
    """A check that passed."""
    return CheckResult(name, ok=True, text=text[:MAX_TEXT])


def red(name: str, text: str) -> CheckResult:
    """A check that did not pass, and why."""
    return CheckResult(name, ok=False, text=text[:MAX_TEXT])
