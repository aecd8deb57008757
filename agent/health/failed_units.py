"""Which units have failed, for the report about a system that is given up."""

from __future__ import annotations

import os

from agent.health.systemctl import Systemctl

_BOOTED_BY_SYSTEMD = "/run/systemd/system"  # sd_booted(3)
_MOST = 16


def failed_units(timeout: float, program: str = "systemctl", booted: str = _BOOTED_BY_SYSTEMD) -> tuple[str, ...]:
    """The names of the first of them; none where there is no systemd, or when it does not answer.

    Args:
        timeout: seconds for the question.
        program: the program that asks.
        booted: the directory that tells whether systemd is there.
    """
    if not os.path.isdir(booted):
        return ()
    lines, problem = Systemctl(timeout, program).ask("list-units", "--state=failed", "--plain", "--no-legend", "--full")
    words = [line.split() for line in lines if line.strip()]
    return () if problem else tuple(parts[0][:255] for parts in words[:_MOST])
