"""Memory that the process which stays for ever would hold for nothing: ``begin`` before the rest is imported."""

from __future__ import annotations

from agent.daemon.later import put_off


def begin() -> None:
    """Puts off modules that may never be used."""
    put_off()
