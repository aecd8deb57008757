"""What the installer gives up before it reads a byte of a bundle."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_NO_NEW_PRIVS = 38
_M_ARENA_MAX = -8  # malloc.h of glibc


def confine() -> str:
    """Dies with the daemon, cannot gain privileges, dumps no core and has no network.

    A unit of systemd has seen to the network already: whoever cannot make a socket for it needs no empty namespace. Else
    root gets a network namespace of its own.

    Returns:
        An empty string, or what could not be done and why.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not _may_connect():
        return ""
    if os.geteuid() != 0:
        return "no network namespace: the daemon is not root"
    if libc.unshare(_CLONE_NEWNET) != 0:
        return f"no network namespace: {os.strerror(ctypes.get_errno())}"
    return ""


def _may_connect() -> bool:
    """Whether this process can make a socket of the Internet."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.socket(family, socket.SOCK_DGRAM).close()
        except OSError:  # no such protocol in the kernel, or a filter of system calls (RestrictAddressFamilies=)
            continue
        return True
    return False


def share_one_heap() -> None:
    """Keeps glibc from giving every thread a heap of its own (mallopt(3)): 1 MiB less, and no slower. musl has one."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
