"""Memory that the process which stays for ever would hold for nothing: ``begin`` before the rest is imported."""

from __future__ import annotations

from agent.daemon.later import put_off


def begin() -> None:
    """Puts off modules that may never be used, and has frozen values share their methods."""
    put_off()
    from agent.daemon.shared_methods import share  # here: it imports dataclasses, which imports inspect

    share()
