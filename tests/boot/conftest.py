"""Quick flows are tests like all others; the scenarios exist only if ``OTA_BOOT=all`` asks for them (docs/testing-boots.md)."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("OTA_BOOT") == "all" else ["scenarios"]
