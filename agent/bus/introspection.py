"""The introspection data as it is served: who may call what, but nothing that is only for people."""

from __future__ import annotations

import re
from pathlib import Path

AGENT = Path(__file__).with_name("org.otaagent.Agent1.xml")
FREE = "none"  # the access of a method that everybody may call
DOC = "org.gtk.GDBus.DocString"
ACCESS = "org.otaagent.Access"
ERRORS = "org.otaagent.Errors"


def without_prose(xml: str) -> str:
    """Introspection data without documentation, which would fill the daemon's memory for nobody."""
    names = "|".join(re.escape(name) for name in (DOC, ERRORS))
    return re.sub(rf'\s*<annotation name="(?:{names})"\s+value="[^"]*"/>', "", xml)
