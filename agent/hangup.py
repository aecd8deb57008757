"""A process that serves one conversation ends when the other side hangs up, at once and whatever it is doing."""

from __future__ import annotations

import os
import select
import threading


def watch(fd: int) -> None:
    """Ends this process when the other end of ``fd`` is closed, from a thread, without reading from it."""

    def wait() -> None:
        poll = select.poll()
        poll.register(fd, select.POLLRDHUP)
        poll.poll()
        os._exit(0)

    threading.Thread(target=wait, name="watch", daemon=True).start()
