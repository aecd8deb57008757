"""The daemon's properties as a few lines that a person understands at once. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.cli.notice import notice_rows, policy_row

_WIDTH = 24  # characters of the progress bar
_MEANING = {
    "idle": "up to date as far as known",
    "offered": "looking at what is offered",
    "held": "waiting before anything is fetched",
    "inspecting": "checking signature and compatibility",
    "waiting": "waiting for the permitted time",
    "fetching": "downloading and verifying, not installing",
    "staging": "writing to the other slot",
    "staged": "written and verified",
    "activating": "switching the boot slot",
    "rebooting": "restarting into the new system",
    "trial": "the new system must prove itself",
    "confirming": "the new system is healthy, making it permanent",
    "reverting": "going back to the old system",
    "reporting": "telling the server how it ended",
}


def status_lines(values: Mapping[str, object], now: float) -> list[str]:
    """Renders the properties.

    Args:
        values: D-Bus properties by name, those of other interfaces below ``Update`` and ``Policy``; unknown and missing ones
            do no harm.
        now: seconds since the epoch.
    """
    state = _text(values, "State")
    rows = [("state", _joined(state, _MEANING.get(state, ""), " - "))]
    rows.append(
        ("running", _joined(_text(values, "CurrentVersion") or "unknown version", _slot(values, "Slot"), " in "))
    )
    if values.get("Rescue") is True:
        rows.append(("rescue", "this is the rescue system: no slot boots, an update is needed"))
    if state not in ("idle", ""):
        rows.append(("update", _joined(_text(values, "TargetVersion") or "?", _slot(values, "TargetSlot"), " to ")))
        if state not in ("held", "waiting"):
            rows.append(("progress", _progress(values.get("Progress"))))
    rows.append(("offer", _offer(values.get("Offer"))))
    rows += _notice(values.get("Update"), now)
    rows.append(policy_row(_table(values, "Policy")))
    rows += _media(values.get("Media"))
    rows += _slots(values.get("Slots"), now)
    rows.append(("server", _server(values, now)))
    rows += _last(values)
    return [f"{name:<9} {text}" for name, text in rows if text]


def _notice(value: object, now: float) -> list[tuple[str, str]]:
    update = value if isinstance(value, dict) else {}
    deadline, postponed = update.get("Deadline"), update.get("PostponeRemaining")
    postponable = _text(_table(update, "Notice"), "postponable")
    words = {
        "deadline": span(deadline - now) if isinstance(deadline, int) and deadline > now else "",
        "postponed": span(postponed) if isinstance(postponed, int) and postponed > 0 else "",
        "postponable": span(int(postponable)) if postponable.isdecimal() and 0 < int(postponable) < 10**10 else "",
    }
    return notice_rows(update, words)


def progress_line(values: Mapping[str, object]) -> str:
    """The update under way in one line: how far it is, or what is being done where no amount can be told."""
    state = _text(values, "State")
    progress = _fields(values.get("Progress"), 3)
    if progress and progress[2]:
        return f"{state:<10} {_progress(progress)}"
    return f"{state:<10} {_MEANING.get(state, '')}".rstrip()


def progress_bar(fraction: float) -> str:
    """A bar with the percentage behind it."""
    part = min(1.0, max(0.0, fraction))
    done = int(part * _WIDTH)
    return f"[{'#' * done}{'-' * (_WIDTH - done)}] {int(part * 100):3d} %"


def amount(count: int) -> str:
    """Bytes with a unit of 1000, as storage is sold."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def span(seconds: float) -> str:
    """A duration in its largest sensible unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _progress(value: object) -> str:
    fields = _fields(value, 3)
    fraction, message, count = fields if fields else (0.0, "", 0)
    if not isinstance(fraction, int | float) or not isinstance(count, int):
        return ""
    return "  ".join(part for part in (progress_bar(fraction), amount(count) if count else "", str(message)) if part)


def _server(values: Mapping[str, object], now: float) -> str:
    state = _text(values, "ServerState")
    parts = [{"none": "none configured", "ok": "answers", "unknown": "not asked yet"}.get(state, state)]
    asked, planned = values.get("LastCheck"), values.get("NextCheck")
    if isinstance(asked, int) and asked > 0:
        parts.append(f"asked {span(now - asked)} ago")
    if isinstance(planned, int) and planned > 0:
        parts.append(f"next in {span(planned - now)}" if planned > now else "next now")
    return ", ".join(part for part in parts if part)


def _offer(value: object) -> str:
    """What waits for consent; what is offered otherwise shows in the update under way."""
    facts = value if isinstance(value, dict) else {}
    words = {
        "wanted": "waits for consent: ota-agent approve, or deny", "denied": "was denied here",
        "confirmed": "was approved here",
    }  # fmt: skip
    said = words.get(_text(facts, "consent"), "")
    return f"{_text(facts, 'version') or 'an update'} (action {_text(facts, 'action')}) {said}" if said else ""


def _media(value: object) -> list[tuple[str, str]]:
    """What is plugged in, and what becomes of each bundle on it."""
    entries = [_fields(entry, 4) for entry in value] if isinstance(value, list) else []
    return [
        ("medium", _joined(_joined(str(device), str(path), " "), f"{state}, {text}", ": "))
        for device, path, state, text in filter(None, entries)
    ]


def _slots(value: object, now: float) -> list[tuple[str, str]]:
    slots = value if isinstance(value, dict) else {}
    rows = {name: _slot_line(facts, now) for name, facts in sorted(slots.items()) if isinstance(facts, dict)}
    return [("slot", _joined(str(name), line, ": ")) for name, line in rows.items()]


def _slot_line(facts: Mapping[str, object], now: float) -> str:
    """What a slot holds: ``running, 1.0.0, installed 3 d ago, as installed 2 h ago``."""
    status = _text(facts, "status")
    words = {"pending": "being written", "failed": "NOT USABLE"}
    parts = ["running" if _text(facts, "state") == "booted" else _text(facts, "state"), words.get(status, "")]
    parts.append(_text(facts, "bundle.version") if status else "content unknown")
    for key, text in (("installed.timestamp", "installed"), ("scrubbed.timestamp", _text(facts, "scrubbed.result"))):
        when = _text(facts, key)
        if when.isascii() and when.isdecimal() and len(when) < 16:
            parts.append(f"{'scrubbed ' if key[0] == 's' else ''}{text} {span(now - int(when))} ago")
    return ", ".join(part for part in parts if part)


def _last(values: Mapping[str, object]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    result = _fields(values.get("LastResult"), 4)
    code = ""
    if result and result[0]:
        outcome, version, code, text = (str(part) for part in result)
        reason = f"{text} [{code}]" if code else text
        rows.append(("last", _joined(f"{outcome} {version}".strip(), reason, ": ")))
    error = _fields(values.get("LastError"), 3)
    if error and error[0]:
        if error[0] != code:
            rows.append(("problem", f"{error[1]} [{error[0]}]"))
        rows.append(("next", str(error[2])))
    return rows


def _fields(value: object, count: int) -> Sequence[object]:
    return value if isinstance(value, tuple | list) and len(value) == count else ()


def _table(values: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = values.get(name)
    return value if isinstance(value, dict) else {}


def _text(values: Mapping[str, object], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""


def _slot(values: Mapping[str, object], name: str) -> str:
    slot = _text(values, name)
    return f"slot {slot}" if slot else ""


def _joined(first: str, second: str, separator: str) -> str:
    return f"{first}{separator}{second}" if first and second else first or second
