"""Programs that packages and integrators put into a directory, each of which must say that its part of the device works.

The rules of run-parts(8): a name consists of ASCII letters, digits, underscores and hyphens (so that what packages leave
behind, such as ``10-modem.dpkg-old``, does not run), and the programs run one after the other in the order of their names.
Stricter than run-parts: all must be executable, and nobody but root (or who runs the agent) may be able to change one.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from agent.health.command import CommandCheck
from agent.health.result import Check, CheckResult, green, red

MAX_PROGRAMS = 64
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")  # run-parts(8): without --lsbsysinit and --regex


def directory_checks(directory: Path, timeout: float, stopping: Callable[[], bool] = lambda: False) -> list[Check]:
    """One check for the directory and one for each program in it; none when it does not exist.

    Args:
        directory: where the programs are.
        timeout: seconds for each of them.
        stopping: whether an answer is not wanted any more.
    """
    if not os.path.lexists(directory):
        return []
    found: list[Check] = [DirectoryCheck(directory)]
    if not _problem(directory, directory=True):
        found += [ProgramCheck(directory / name, timeout, stopping) for name in _listed(directory)[0][:MAX_PROGRAMS]]
    return found


def problems(directory: Path) -> list[str]:
    """What is wrong with the directory and its programs, without running them; nothing if it does not exist."""
    if not os.path.lexists(directory):
        return []
    problem = _problem(directory, directory=True)
    if problem:
        return [f"{directory} {problem}"]
    found = {name: _problem(directory / name, directory=False) for name in _listed(directory)[0]}
    return [f"{directory / name} {problem}" for name, problem in found.items() if problem]


class DirectoryCheck:
    """The directory itself must be there to be read, and nobody else may be able to put a program into it.

    Args:
        directory: where the programs are.
    """

    name = "directory"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def run(self) -> CheckResult:
        """Tells how many programs run, and which files do not."""
        problem = _problem(self._directory, directory=True)
        if problem:
            return red(self.name, f"{self._directory} {problem}")
        names, others = _listed(self._directory)
        if len(names) > MAX_PROGRAMS:
            return red(self.name, f"{self._directory} holds {len(names)} programs, at most {MAX_PROGRAMS} run")
        skipped = f"; not run because of its name: {', '.join(others)}" if others else ""
        return green(self.name, f"{len(names)} programs{skipped}")


class ProgramCheck:
    """One program: 0 is healthy, 1 is not and the last line says why; anything else is a program that is broken.

    Args:
        program: the file.
        timeout: seconds, after which it and all its children are killed.
        stopping: whether the answer is not wanted any more.
    """

    def __init__(self, program: Path, timeout: float, stopping: Callable[[], bool] = lambda: False) -> None:
        self.name = f"health.d/{program.name}"
        self._program = program
        self._command = CommandCheck([str(program)], timeout, name=self.name, stopping=stopping)

    def run(self) -> CheckResult:
        """Runs it, unless somebody else could have written it."""
        problem = _problem(self._program, directory=False)
        return red(self.name, problem) if problem else self._command.run()


def _listed(directory: Path) -> tuple[list[str], list[str]]:
    """The names that run, in order, and those that do not."""
    names = sorted(os.listdir(directory))
    return [name for name in names if _NAME.fullmatch(name)], [name for name in names if not _NAME.fullmatch(name)]


def _problem(path: Path, *, directory: bool) -> str:
    """Why it is not used; empty when it is in order."""
    try:
        status = path.stat()
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    kind = stat.S_ISDIR(status.st_mode) if directory else stat.S_ISREG(status.st_mode)
    if not kind:
        return "is no directory" if directory else "is no file"
    if status.st_uid not in (0, os.geteuid()):
        return f"belongs to user {status.st_uid}, not to root"
    if status.st_mode & 0o022:
        return f"may be written by others than its owner (mode {stat.S_IMODE(status.st_mode):04o})"
    if not directory and not status.st_mode & 0o100:
        return "is not executable"
    return ""
