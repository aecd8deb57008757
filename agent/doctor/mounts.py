"""Which file system a path lies on, by the kernel's table of mounts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_MAX_TABLE = 4 * 1024 * 1024  # bytes of /proc/self/mountinfo that are looked at


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of proc_pid_mountinfo(5).

    Attributes:
        point: where it is mounted.
        fstype: the kind of file system.
        source: the device, or whatever the file system calls its source.
        writable: whether the mount and the file system are.
    """

    point: str
    fstype: str
    source: str
    writable: bool


def mount_of(path: Path, proc: Path) -> Mount:
    """The mount that a path, or its nearest existing parent, lies on.

    Raises:
        OSError: the table cannot be read, or does not tell.
    """
    while not path.exists() and path != path.parent:
        path = path.parent
    where = str(path.resolve())
    found: Mount | None = None
    with (proc / "self/mountinfo").open("rb") as file:
        text = file.read(_MAX_TABLE).decode("utf-8", "surrogateescape")
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        columns, more = fields.split(" "), rest.split(" ")
        if len(columns) < 6 or len(more) < 3:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), columns[4])
        inside = where == point or where.startswith(point.rstrip("/") + "/")
        if inside and (
            found is None or len(point) >= len(found.point)
        ):  # of two on one point the later hides the earlier
            writable = "rw" in columns[5].split(",") and "rw" in more[2].split(",")
            found = Mount(point, more[0], more[1], writable)
    if found is None:
        raise OSError(f"no mount holds {where}")
    return found
