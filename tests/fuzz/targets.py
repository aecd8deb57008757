"""All targets by name."""

from __future__ import annotations

from fuzz import archive_targets, bootenv_targets, content_targets, loader_targets, signature_targets, wire_targets

MODULES = (signature_targets, content_targets, archive_targets, wire_targets, bootenv_targets, loader_targets)
TARGETS = {each.name: each for module in MODULES for each in module.TARGETS}
NAMES = tuple(TARGETS)
