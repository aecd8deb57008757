"""The settings that say how this device treats what the server assigns to it. Pure."""

from __future__ import annotations

from agent import config_values as kind
from agent.config_row import Setting

SOFT = Setting(
    "update",
    "soft",
    kind.one_of("install", "ask"),
    "install",
    "What a soft assignment needs: nothing (`install`), or somebody on the device who approves it (`ask`), before anything "
    "is fetched. A forced one needs nothing. See [hawkBit](hawkbit.md).",
)

DEPLOYMENT_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "server",
        "confirmation",
        kind.one_of("ask", "confirm", "deny", "auto"),
        "ask",
        "What is answered when the server wants an assignment to be confirmed: whatever somebody on the device says (`ask`), "
        "or always the same; with `auto` the server is told once to confirm by itself. See [hawkBit](hawkbit.md).",
    ),
    Setting(
        "server",
        "bundle-part",
        kind.OPTIONAL_TEXT,
        "",
        "Only look for the bundle in software modules of this type, for example `os`; empty: in all.",
    ),
    Setting(
        "server",
        "bundle-name",
        kind.OPTIONAL_TEXT,
        "",
        "Only files with such a name are the bundle, for example `*-gateway.raucb`; empty: the only `*.raucb`, else the only "
        "file.",
    ),
    Setting(
        "server",
        "report-installed",
        kind.OPTIONAL_TEXT,
        "",
        "Name of the distribution set that the server is told to be installed, with the version of the bundle, after an update "
        "from a file; empty: it is not told. hawkBit calls this experimental.",
    ),
)
