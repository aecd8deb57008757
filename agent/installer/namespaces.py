"""Keeping a program of a bundle apart: processes of its own, and mounts that nobody else sees.

Source: pid_namespaces(7), mount_namespaces(7), mount(2). The network is left to ``confine.py``: a program inherits the
namespace of the installer, in which there is none.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent.errors import EnvironmentFault
from agent.installer.permission import not_confined

_CLONE_NEWNS, _CLONE_NEWPID = 0x20000, 0x2000_0000  # linux/sched.h
_MS_NOSUID, _MS_NODEV, _MS_REC, _MS_SLAVE = 0x2, 0x4, 0x4000, 0x80000  # linux/mount.h
_FLAGS = {  # linux/mount.h; options of the mount, which mount(2) takes as bits and file systems do not know
    "ro": 1, "sync": 16, "dirsync": 128, "noatime": 1024, "nodiratime": 2048, "noexec": 8, "relatime": 1 << 21,
    "strictatime": 1 << 24, "lazytime": 1 << 25, "defaults": 0, "rw": 0, "nosuid": 0, "nodev": 0,
    "suid": 0, "dev": 0, "exec": 0, "async": 0,  # what slots.mounts takes as well; suid and dev are without effect
}  # fmt: skip
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_UMASK = 0o022  # what a program finds under RAUC; the agent's own is stricter, and would make files nobody can read
_libc = ctypes.CDLL(None, use_errno=True)


def build_walls() -> None:
    """Makes sure that programs can be kept apart; from here on, nobody else sees what this process mounts.

    Raises:
        ConfigError: ``hook.not-confined``.
    """
    # Slave: what the system mounts meanwhile is still seen here, so that a slot in use is known to be in use.
    if _libc.unshare(_CLONE_NEWNS) != 0 or _libc.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None) != 0:
        raise not_confined(f"no mount namespace: {_reason()}")
    with _own_processes():
        pass


def start_apart(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts a program as the first process of a PID namespace: when it ends or is killed, all that it started ends.

    It has a mount namespace as well: what it mounts is gone with it, and nobody clearing up can run into it.

    Raises:
        ConfigError: ``hook.not-confined``.
        OSError, ValueError: it cannot be started.
    """
    with _own_processes():
        try:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd="/",
                umask=_UMASK,
                start_new_session=True,
                preexec_fn=_in_child,  # noqa: PLW1509 - the only other thread sleeps in poll(2), see agent/hangup.py
            )
        except subprocess.SubprocessError as error:
            raise not_confined("no mount namespace for a program") from error


@contextmanager
def _own_processes() -> Iterator[None]:
    """A child that is started in here is the first process of a new PID namespace."""
    home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.unshare(_CLONE_NEWPID) != 0:
            raise not_confined(f"no PID namespace: {_reason()}")
        try:
            yield
        finally:
            if _libc.setns(home, _CLONE_NEWPID) != 0:
                raise RuntimeError(f"the way back from a PID namespace failed: {_reason()}")
    finally:
        os.close(home)


@contextmanager
def mounted(source: str, kind: str, where: Path, options: str = "") -> Iterator[Path]:
    """Mounts a file system, and leaves only after everything is on the medium and it is unmounted.

    Args:
        source: a block device.
        kind: of the file system, as the kernel calls it.
        where: the mount point; made when missing.
        options: separated by commas, as for mount(8).

    Raises:
        EnvironmentFault: ``hook.mount-failed``, ``hook.unmount-failed``.
    """
    where.mkdir(mode=0o700, exist_ok=True)
    names = source.encode(), bytes(where), kind.encode()
    given = [option for option in options.split(",") if option]
    flags = sum({_FLAGS[option] for option in given if option in _FLAGS})
    own = ",".join(option for option in given if option not in _FLAGS)
    if _libc.mount(*names, _MS_NOSUID | _MS_NODEV | flags, own.encode() or None) != 0:
        number = ctypes.get_errno()
        raise EnvironmentFault(
            "hook.mount-failed", "the slot cannot be mounted for a program of the bundle",
            details=f"{source} as {kind}: {os.strerror(number)}", retryable=number in (errno.EBUSY, errno.EIO),
            resolution="a pre-install hook needs a slot that holds a file system already, a post-install hook an image "
            "of the slot's type; the kernel must have a driver for it, and the service must be allowed to mount "
            "(docs/hooks.md)",
        )  # fmt: skip
    try:
        yield where
    except BaseException:
        _libc.umount2(bytes(where), _MNT_DETACH | _UMOUNT_NOFOLLOW)
        raise
    fd = os.open(where, os.O_RDONLY | os.O_CLOEXEC)
    try:
        synced = _libc.syncfs(fd) == 0
        reason = _reason()
    finally:
        os.close(fd)
    if not synced or _libc.umount2(bytes(where), _UMOUNT_NOFOLLOW) != 0:
        reason = _reason() if synced else reason
        _libc.umount2(bytes(where), _MNT_DETACH | _UMOUNT_NOFOLLOW)
        raise EnvironmentFault(
            "hook.unmount-failed", "the slot cannot be unmounted after a program of the bundle",
            details=f"{source}: {reason}", resolution="it is tried again; if this repeats, the storage is failing",
        )  # fmt: skip


def _in_child() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if _libc.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno())


def _reason() -> str:
    return os.strerror(ctypes.get_errno())
