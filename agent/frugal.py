"""Memory and time that a process would spend for nothing: ``begin`` before the rest is imported."""

from __future__ import annotations

import gc
import sys

from agent.later import put_off

# What reads a configuration; agent.config_sections is part of what was read.
_READING = ("agent.config_", "tomllib")
_KEPT = "agent.config_sections"


def begin() -> None:
    """Puts off modules that may never be used, and has frozen values share their methods."""
    put_off()
    from agent.shared_methods import share  # here: it imports dataclasses, which imports inspect

    share()


def forget_reading() -> None:
    """Drops the table of settings and the TOML parser; whoever needs them again imports them again.

    Called at once when the configuration is read: the room is used by what is imported next.
    """
    for name in [name for name in sys.modules if name.startswith(_READING) and name != _KEPT]:
        del sys.modules[name]
        package, _, module = name.rpartition(".")
        if package in sys.modules:
            delattr(sys.modules[package], module)
    gc.collect()
