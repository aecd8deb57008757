"""Tells systemd how the service is doing (sd_notify(3)): a datagram to the socket named by the environment."""

from __future__ import annotations

import os
import socket


def notify(message: str) -> bool:
    """Sends assignments such as ``READY=1`` or ``STATUS=...``, one per line.

    Returns:
        Whether a service manager was there to be told. A manager that cannot be reached is not an error of ours.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    if address[0] == "@":  # an abstract socket: its name starts with a zero byte
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)
            sock.sendto(message.encode(), address)
    except OSError:
        return False
    return True


def watchdog_interval() -> float | None:
    """Seconds between two ``WATCHDOG=1``: half of what systemd allows; None when it does not watch this process."""
    try:
        allowed = int(os.environ.get("WATCHDOG_USEC", "0"))
        watched = int(os.environ.get("WATCHDOG_PID", str(os.getpid())))
    except ValueError:
        return None
    return allowed / 2_000_000 if allowed > 0 and watched == os.getpid() else None
