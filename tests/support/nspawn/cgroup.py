"""A control group for one container, in each hierarchy that systemd inside of it uses.

nspawn calls the group of what it runs ``payload``, below its own group. Two containers that were started from the same group
would share it, and each systemd would end the other's services.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def own_groups(name: str) -> Iterator[tuple[Path, ...]]:
    """Makes the groups, and removes them with all below at the end.

    Yields:
        Their directories; a process joins by writing 0 into each ``cgroup.procs``.
    """
    groups = tuple(parent / name for parent in _parents())
    if not groups:
        raise RuntimeError("no hierarchy of control groups is mounted that systemd could use")
    for group in groups:
        group.mkdir()
    try:
        yield groups
    finally:
        for group in groups:
            _remove(group)


def join(groups: tuple[Path, ...]) -> None:
    """Moves the calling process."""
    for group in groups:
        (group / "cgroup.procs").write_text("0")


def _parents() -> Iterator[Path]:
    """Where this process is in the hierarchies of systemd: version 2, and in a hybrid setup a named one beside it."""
    mounted = dict(_mounted())
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in mounted:
            yield mounted[controllers] / path.lstrip("/")


def _mounted() -> Iterator[tuple[str, Path]]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2":
            yield "", Path(before.split()[4])
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            yield "name=systemd", Path(before.split()[4])


def _remove(group: Path) -> None:
    for path, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):  # the kernel is still clearing up after a process that has just ended
            os.rmdir(path)
