"""The settings that say how the agent lives with a service manager: sockets, restarts, leaving when idle. Pure."""

from __future__ import annotations

from agent import config_values as kind
from agent.config_row import Setting

SOCKETS: tuple[Setting, ...] = (
    Setting(
        "fetcher",
        "socket",
        kind.OPTIONAL_PATH,
        "/run/ota-agent/fetch.sock",
        "The socket of `ota-agent-fetch.socket`: where it is, systemd starts each fetcher in a sandbox of its own, and `user` "
        "does not count. Where it is not, or with an empty text, the fetcher is a child of the daemon.",
    ),
    Setting(
        "installer",
        "socket",
        kind.OPTIONAL_PATH,
        "/run/ota-agent/install.sock",
        "The socket of `ota-agent-install.socket`: as above.",
    ),
)

SERVICE: tuple[Setting, ...] = (
    Setting(
        "system",
        "reboot-command",
        kind.OPTIONAL_COMMAND,
        [],
        "Run to restart the device instead of asking logind; a reboot argument that the bootloader needs is appended as the "
        "last word.",
    ),
    Setting(
        "system",
        "idle-exit",
        kind.seconds(0, 86400),
        0,
        "The daemon ends when it had nothing to do for so many seconds, and is started again for the next poll or by a call on "
        "the bus; 0: it stays. See [systemd](systemd.md).",
    ),
)

RESTART: tuple[Setting, ...] = (
    Setting(
        "update",
        "reboot-warning",
        kind.seconds(0, 3600),
        60,
        "While somebody is logged in, a restart is announced so many seconds before (D-Bus, wall); else there is no delay.",
    ),
    Setting(
        "update",
        "reboot-blocked",
        kind.seconds(0, 604_800),
        3600,
        "Longest seconds that a restart waits for programs that block the shutdown (`systemd-inhibit --list`).",
    ),
)
