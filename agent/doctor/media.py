"""Can sticks and cards be looked into, where the configuration wants that?"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from agent.doctor.finding import Finding, error, ok, warning
from agent.doctor.subject import Subject
from agent.doctor.system import knows_filesystem


def media(subject: Subject) -> Iterator[Finding]:
    """Nothing where ``media.install`` is off."""
    settings = subject.config.media
    if settings.install == "off":
        return
    unknown = [kind for kind in settings.filesystems if not knows_filesystem(subject, kind)]
    if len(unknown) == len(settings.filesystems):
        yield error("media.filesystems", f"the kernel knows none of {', '.join(unknown)}")
    elif unknown:
        yield warning("media.filesystems", f"the kernel does not know {', '.join(unknown)}")
    else:
        yield ok("media.filesystems", f"the kernel knows {', '.join(settings.filesystems)}")
    if find_spec("pyudev") is None:
        yield error("media.events", "the module pyudev is not installed")
    else:
        yield ok("media.events", "pyudev is installed")
    if not subject.places.systemd.is_dir():  # then the daemon starts its finder itself
        return
    if settings.socket is not None and settings.socket.is_socket():
        yield ok("media.finder", f"systemd listens at {settings.socket}")
    else:
        yield warning("media.finder", f"nobody listens at {settings.socket or 'media.socket, which is empty'}")
