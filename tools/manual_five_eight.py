"""The manual pages ``ota-agent.toml(5)``, from the table of settings, and ``ota-agent-daemon(8)``, about the service."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

import agent
from agent.config_table import DROP_IN_DIR, MAIN_FILE, REQUIRED, SECTIONS, SETTINGS, VENDOR_DIR, Setting
from tools.manpage import reference, roff, table

_NOTE = '.\\" Made by tools/gen_docs.py; change {what}, not this page.'
_STATE = "/var/lib/ota-agent"

UNITS: Mapping[str, str] = {
    "ota-agent.service": "The daemon.",
    "ota-agent-fetch.socket": "Starts the fetcher, the only process that opens connections, for one conversation.",
    "ota-agent-install.socket": "Starts the installer, which verifies and writes, and has no network.",
    "ota-agent-find.socket": "Starts the finder, which looks for bundles on sticks and cards.",
    "ota-agent-trial.timer": "Ends the trial of a new system whose agent does not work; it needs nothing of the agent.",
    "ota-agent-boot-complete.service": "Takes boot-complete.target in, by which any unit can veto a boot.",
    "ota-agent-trial.service": "What that timer starts.",
    "ota-agent-rauc.service": "Optional: RAUC's D-Bus interface in front of the agent.",
}
STATUS: Mapping[str, str] = {
    "0": "It was told to stop.",
    "1": "It ended for another reason, and is started again.",
    "2": "It cannot start as it is configured; starting it again would not help. A system on trial restarts instead, so "
    "that the one before comes back.",
}
SIGNALS: Mapping[str, str] = {
    "SIGTERM, SIGINT": "Stop at the next safe moment; an update under way is resumed by the next start.",
    "SIGHUP": "Ask the server now (systemctl reload ota-agent).",
}
FILES: Mapping[str, str] = {
    MAIN_FILE: "The configuration, see ota-agent.toml(5).",
    f"{_STATE}/record.json": "The update under way.",
    f"{_STATE}/outbox.json": "What the server has yet to hear.",
    f"{_STATE}/slots.json": "What each slot holds.",
    f"{_STATE}/audit/": "Every decision, in a chain that shows what is missing or was changed.",
    "/etc/ota-agent/health.d": "Programs that must succeed before a new system is kept.",
    "/run/ota-agent/notice.json": "The notice of an update, for programs that show it.",
}


def settings() -> str:
    """``ota-agent.toml(5)``."""
    lines = [
        _NOTE.format(what="agent/config_table.py"),
        f'.TH OTA\\-AGENT.TOML 5 "" "ota\\-agent {agent.__version__}" "File Formats"',
        ".nh\n.ad l",
        ".SH NAME",
        roff("ota-agent.toml - settings of the update agent"),
        ".SH SYNOPSIS",
        *(f".I {roff(place)}\n.br" for place in (f"{VENDOR_DIR}/*.toml", MAIN_FILE, f"{DROP_IN_DIR}/*.toml")),
        ".SH DESCRIPTION",
        roff(
            "TOML files, read in this order; later ones override earlier ones setting by setting. Relative paths start at the "
            "directory of the file that names them. An unknown section or key is an error, and all problems are reported "
            "together."
        ),
        ".PP",
        roff(
            "ota-agent config check FILE tells whether a file is right, ota-agent config show what is in force and why."
        ),
    ]
    for section, text in SECTIONS.items():
        title = "slot.CLASS.INDEX" if section == "slot" else section
        lines += [f".SH {roff(f'[{title}]')}", _plain(text)]
        for row in SETTINGS:
            if row.section == section:
                lines += _setting(row)
    lines += [
        ".SH SEE ALSO",
        ",\n".join(map(reference, ("ota-agent(1)", "ota-agent-daemon(8)", "org.otaagent.Agent1(5)"))),
    ]
    return "\n".join(lines) + "\n"


def service() -> str:
    """``ota-agent-daemon(8)``."""
    lines = [
        _NOTE.format(what="tools/manual_five_eight.py"),
        f'.TH OTA\\-AGENT\\-DAEMON 8 "" "ota\\-agent {agent.__version__}" "System Administration"',
        ".nh\n.ad l",
        ".SH NAME",
        roff("ota-agent-daemon - the update service and its units"),
        ".SH SYNOPSIS",
        f".I ota\\-agent.service\n.br\n.B {roff('ota-agent daemon')}\n{roff('[--config FILE] ...')}",
        ".SH DESCRIPTION",
        roff(
            "The daemon asks the update server, decides, writes the choice of the bootloader, judges a new system, and tells "
            "the server, D-Bus and the journal how it went. It has no network and parses no bundle: processes of their own do. "
            "Its state is on the medium before each step, so that a kill or a power cut at any moment is resumed."
        ),
        ".SH UNITS",
        *table(UNITS),
        ".SH SIGNALS",
        *table(SIGNALS),
        ".SH EXIT STATUS",
        *table(STATUS),
        ".SH FILES",
        *table(FILES),
        ".SH JOURNAL",
        roff(
            "Entries carry MESSAGE_ID, OTA_STATE, OTA_ACTION_ID, OTA_SLOT, OTA_BUNDLE_VERSION, OTA_EVENT and OTA_ERROR_CODE; "
            "journalctl -x explains them."
        ),
        ".PP\n.RS 4\n.EX",
        roff("journalctl -u ota-agent OTA_ERROR_CODE=health.failed"),
        ".EE\n.RE",
        ".SH SEE ALSO",
        ",\n".join(map(reference, (
            "ota-agent(1)", "ota-agent.toml(5)", "org.otaagent.Agent1(5)", "systemd.special(7)", "journalctl(1)",
        ))),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _setting(row: Setting) -> Iterator[str]:
    name = "any key" if row.key == "*" else row.key
    yield f".TP\n.B {roff(name)}"
    yield _plain(row.help)
    if row.default is REQUIRED:
        default = "it is required"
    elif row.key == "*":
        default = ""
    else:
        default = f"default {json.dumps(row.default)}"
    yield ".br\n" + _plain(f"Value: {row.kind.expected}{'; ' if default else ''}{default}.")


def _plain(text: str) -> str:
    """Text of a Markdown table as a manual shows it: names without marks, pages by their name."""
    return roff(re.sub(r"\[([^]]*)\]\(([^)]*)\)", lambda found: f"{found[1]} (docs/{found[2]})", text).replace("`", ""))
