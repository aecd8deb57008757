"""All targets by name."""

from __future__ import annotations

from fuzz import content_targets, signature_targets, wire_targets

TARGETS = {each.name: each for each in (*signature_targets.TARGETS, *content_targets.TARGETS, *wire_targets.TARGETS)}
NAMES = tuple(TARGETS)
