"""The settings of ``[audit]``. Pure."""

from __future__ import annotations

from agent import config_values as kind
from agent.config_row import Setting

AUDIT_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "audit",
        "record",
        kind.BOOLEAN,
        True,
        "Record what the agent decides. Users of the device may switch it off and on, which then counts; see "
        "[audit](audit.md).",
    ),
    Setting(
        "audit",
        "segment-size",
        kind.whole(4096, 1_048_576),
        65_536,
        "Bytes of one file of records.",
    ),
    Setting(
        "audit",
        "segments",
        kind.whole(2, 1000),
        16,
        "So many files are kept; the oldest records are given up for new ones.",
    ),
)
