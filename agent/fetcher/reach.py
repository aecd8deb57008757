"""Whether somebody listens on a port: a connection that is closed again at once."""

from __future__ import annotations

import socket

from agent.fetcher.deadline import DeadlinePassed, deadline
from agent.fetcher.failures import explain_failure
from agent.wire import WireError

MAX_HOST = 253  # RFC 1035, section 2.3.4, without the last dot


def reach(host: str, port: int, timeout: float) -> None:
    """Connects.

    Args:
        host: a name or an address.
        port: of TCP.
        timeout: seconds for the resolution of the name and all attempts together.

    Raises:
        EnvironmentFault: ``net.dns``, ``net.connect``, ``net.timeout``.
        WireError: ``ipc.protocol``: host or port is none.
    """
    if not 0 < len(host) <= MAX_HOST or not host.isascii() or not 0 < port < 1 << 16:
        raise WireError("ipc.protocol", "the daemon asked for a host or a port that is none", retryable=False)
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        with deadline(timeout):
            socket.create_connection((host, port), timeout).close()
    except (DeadlinePassed, OSError) as error:
        raise explain_failure(error, where) from None
