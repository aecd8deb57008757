"""Gives up what the fetcher does not need, before the first byte comes from outside."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import resource
import signal

from agent.errors import EnvironmentFault

_PR_SET_DUMPABLE = 4  # linux/prctl.h
_PR_SET_NO_NEW_PRIVS = 38


def harden() -> None:
    """Makes this process unable to gain privileges or to leave a core file, and closes inherited descriptors.

    Call it first, before any thread is started: prctl(2) counts for the calling thread and its children.

    Raises:
        EnvironmentFault: ``net.privileges``.
    """
    # an interrupt at the terminal is for the daemon, which then closes the channel; no traceback from here
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the listing's own descriptor is gone already
                os.close(int(name))


def become(user: str) -> None:
    """Runs as ``user`` from now on, for good. The user stays the same unless this process is root.

    From now on secrets are in memory: nobody may dump or trace it. core(5): a program in ``core_pattern`` is not bound by the
    limit of the size, and what a change of the user does to this depends on ``fs.suid_dumpable``, which systemd sets to 2.

    Everything must have been imported: afterwards the code may be unreadable. The codec for international host names and
    the resolver load parts of themselves on first use, so they are used once here.

    Args:
        user: name of a user; empty leaves everything as it is.

    Raises:
        EnvironmentFault: ``net.user-unknown``, ``net.privileges``; not retryable.
    """
    if user and os.geteuid() == 0:
        _change(user)
    _prctl(_PR_SET_DUMPABLE, 0)


def _change(user: str) -> None:
    "example.org".encode("idna")
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise EnvironmentFault(
            "net.user-unknown",
            "the user for network access does not exist",
            details=user[:64],
            resolution="create it (systemd-sysusers) or configure another",
            retryable=False,
        ) from None
    if entry.pw_uid == 0:
        raise _failed(f"{user[:64]} is root")
    try:
        os.setgroups([])
        os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
        os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    except OSError as error:
        raise _failed(str(error.strerror)) from error
    if os.getresuid() != (entry.pw_uid,) * 3 or os.getresgid() != (entry.pw_gid,) * 3 or os.getgroups():
        raise _failed("the kernel did not do as told")


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise _failed(f"prctl: {os.strerror(ctypes.get_errno())}")


def _failed(details: str) -> EnvironmentFault:
    return EnvironmentFault(
        "net.privileges",
        "the fetcher could not give up its privileges",
        details=details,
        resolution="it does not touch the network with them; check the unit's sandbox and the configured user",
        retryable=False,
    )
