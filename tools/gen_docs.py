"""Writes the reference pages that come from tables: ``python tools/gen_docs.py [--check]``.

``docs/configuration.md`` and ``ota-agent.toml(5)`` come from ``agent/config_table.py``, ``docs/dbus.md`` and its
manual page from the introspection data in ``agent/bus``, ``ota-agent-daemon(8)`` from ``tools/manual_five_eight.py``,
``docs/errors.md`` from ``agent/codes.py``, ``docs/states.md`` from ``agent/daemon/machine.py``, ``docs/doctor.md`` from
``agent/doctor/table.py``, the manual pages and the completions of ``ota-agent`` and ``ota-bundle`` from their command lines.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from agent.bundler.cli import parser as bundle_parser  # noqa: E402
from agent.cli.main import parser as agent_parser  # noqa: E402
from agent.codes import CODES  # noqa: E402
from agent.config_table import DROP_IN_DIR, MAIN_FILE, REQUIRED, SECTIONS, SETTINGS, VENDOR_DIR, Setting  # noqa: E402
from agent.daemon.machine import TRANSITIONS  # noqa: E402
from agent.doctor import table as doctor_table  # noqa: E402
from tools import dbus_page, manual_five_eight  # noqa: E402
from tools.completions import completion  # noqa: E402
from tools.manpage import AGENT, BUNDLE, manpage  # noqa: E402

_NOTE = "<!-- Made by tools/gen_docs.py; change the table, not this page. -->"


def configuration() -> str:
    """The page about the settings."""
    parts = [
        f"# Configuration\n\n{_NOTE}\n\n"
        f"TOML files are read in this order, and later ones override earlier ones setting by setting: "
        f"`{VENDOR_DIR}/*.toml` (the vendor's), `{MAIN_FILE}`, `{DROP_IN_DIR}/*.toml`. With `--config FILE` only the named "
        "files are read.\n\nRelative paths start at the directory of the file that names them. An unknown section or key is an "
        "error, and all problems are reported together:\n\n"
        "```\nota-agent config check FILE          # is it right?\n"
        "ota-agent config show --defaults     # what is in force, and where it comes from\n```\n"
    ]
    for section, text in SECTIONS.items():
        title = "slot.CLASS.INDEX" if section == "slot" else section
        rows = [_row(row) for row in SETTINGS if row.section == section]
        parts.append(
            f"## [{title}]\n\n{text}\n\n| Setting | Value | Default | Meaning | Since |\n|---|---|---|---|---|\n"
            + "\n".join(rows)
            + "\n"
        )
    return "\n".join(parts)


def _row(row: Setting) -> str:
    default = "required" if row.default is REQUIRED else f"`{json.dumps(row.default)}`"
    name = "any key" if row.key == "*" else f"`{row.key}`"
    default = "" if row.key == "*" else default
    return f"| {name} | {row.kind.expected} | {default} | {row.help} | {row.since} |"


def states() -> str:
    """The page about the life of an update."""
    lines = [
        f"# States of an update\n\n{_NOTE}\n",
        "One state is one idempotent activity; its record is durable before it starts. Until `staged` an update can be",
        "cancelled; from `activating` on only the trial decides.\n",
        "```mermaid\nstateDiagram-v2\n    [*] --> idle",
    ]
    for state, events in TRANSITIONS.items():
        targets: dict[str, list[str]] = {}
        for event, target in events.items():
            targets.setdefault(target.value, []).append(event.value)
        lines += [f"    {state.value} --> {target}: {', '.join(names_)}" for target, names_ in targets.items()]
    return "\n".join([*lines, "```\n"])


def errors() -> str:
    """The page about the error codes."""
    rows = [f"| `{code}` | {number} | {meaning} |" for code, (number, meaning) in sorted(CODES.items())]
    return "\n".join(
        [
            f"# Error codes\n\n{_NOTE}\n",
            "The code is the same on D-Bus, in the journal (`OTA_ERROR_CODE`), on the command line and in the lines that",
            "the server shows; the number is the `code` of the feedback to the server. Codes and numbers never change.\n",
            "| Code | Number | Meaning |\n|---|---|---|",
            *rows,
            "",
        ]
    )


def doctor() -> str:
    """The page about what the doctor looks at."""
    parts = [
        f"# What ota-agent doctor looks at\n\n{_NOTE}\n",
        "`ota-agent doctor` examines the device it runs on, as root, and needs no daemon. It changes nothing, except that it",
        "writes one variable (`OTA_CANARY`) to the boot environment and removes it again; while an update is on trial, or with",
        "`--read-only`, it does not. It is quick; `--all` also shows what is in order, and `--json` gives one document for",
        "programs: `worst`, `checked`, and `findings` with `id`, `severity`, `found`, `why`, `fix` and `code` (of the",
        "[error](errors.md) behind it, if there is one). Ids never change.\n",
        "| Severity | Meaning | Exit status |\n|---|---|---|",
        "| `ok` | as it should be | 0 |",
        "| `note` | good to know; nobody has to act | 0 |",
        "| `warning` | will hurt one day | 1 |",
        "| `error` | stops updates, or may stop the device | 2 |\n",
    ]
    for area, title in doctor_table.SECTIONS.items():
        rows = {name: row for name, row in doctor_table.ROWS.items() if name.startswith(f"{area}.")}
        parts += [f"## {title}\n", "| Id | What must be true | Why | What to do |\n|---|---|---|---|"]
        parts += [f"| `{name}` | {row.looks} | {row.why} | {row.fix} |" for name, row in rows.items()]
        parts.append("")
    return "\n".join(parts)


PAGES = {
    "docs/configuration.md": configuration,
    "docs/dbus.md": lambda: dbus_page.markdown(_NOTE.replace("the table", "agent/bus/org.otaagent.Agent1.xml")),
    "docs/errors.md": errors,
    "docs/states.md": states,
    "docs/doctor.md": doctor,
    "docs/man/ota-agent.1": lambda: manpage(AGENT),
    "docs/man/ota-bundle.1": lambda: manpage(BUNDLE),
    "docs/man/org.otaagent.Agent1.5": dbus_page.manual,
    "docs/man/ota-agent.toml.5": manual_five_eight.settings,
    "docs/man/ota-agent-daemon.8": manual_five_eight.service,
    "docs/completions/ota-agent.bash": lambda: completion(agent_parser(), "bash"),
    "docs/completions/_ota-agent": lambda: completion(agent_parser(), "zsh"),
    "docs/completions/ota-agent.fish": lambda: completion(agent_parser(), "fish"),
    "docs/completions/ota-bundle.fish": lambda: completion(bundle_parser(), "fish"),
    "docs/completions/ota-bundle.bash": lambda: completion(bundle_parser(), "bash"),
    "docs/completions/_ota-bundle": lambda: completion(bundle_parser(), "zsh"),
}


def main() -> int:
    """Writes the pages, or tells with ``--check`` which are out of date."""
    stale = []
    for name, make in PAGES.items():
        path = ROOT / name
        text = make()
        if path.exists() and path.read_text() == text:
            continue
        if "--check" in sys.argv:
            stale.append(name)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {name}")
    if stale:
        print(f"out of date: {', '.join(stale)}; run: python tools/gen_docs.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
