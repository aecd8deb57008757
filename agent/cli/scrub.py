"""``ota-agent scrub``: has the daemon compare slots with what was installed in them, and waits for the verdict."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection, Mapping, Sequence

from agent.cli.client import Client
from agent.cli.output import Exit, end_over, say, say_error, say_json, say_over
from agent.cli.status import progress_bar
from agent.errors import OtaError

_SIGNS = {"ok": "ok", "damaged": "DAMAGED", "unknown": "not compared", "failed": "FAILED", "interrupted": "INTERRUPTED"}


def scrub(arguments: Namespace) -> int:
    """Asks, follows the reading, and tells what was found."""
    number = 0
    shown = ""
    verdicts: list[tuple[str, str, str]] = []

    def seen(values: Mapping[str, object], changed: Collection[str]) -> bool:
        nonlocal number, shown
        now, phase, results = _scrub_of(values)
        if not number:  # subscribed: from here on no change is missed
            number = now + 1
            client.scrub(arguments.slot or "")
            return True
        line = _progress(values)
        if not arguments.json and line and line != shown:
            shown = line
            say_over(line)
        if now < number or phase != "done":
            return True
        verdicts.extend(results)
        return False

    with Client(arguments.bus) as client:
        client.watch(seen)
    if shown:
        end_over()
    return _told(verdicts, as_json=arguments.json)


def _told(verdicts: Sequence[tuple[str, str, str]], *, as_json: bool) -> int:
    if as_json:
        say_json({"slots": [{"slot": slot, "result": result, "text": text} for slot, result, text in verdicts]})
    else:
        say([f"{slot:<12} {_SIGNS.get(result, result)}: {text}".strip() for slot, result, text in verdicts])
    found = {result for _, result, _ in verdicts}
    if "damaged" in found:
        error = OtaError(
            "slot.damaged", "a slot no longer holds what was installed",
            resolution="install an update: it is written anew; if this repeats, the storage is failing",
        )  # fmt: skip
    elif not found <= {"ok", "unknown"}:
        return Exit.FAILED
    elif "ok" not in found:
        error = OtaError(
            "scrub.nothing", "nothing is known that the slots could be compared with",
            resolution="slots can be compared from the next installed update on",
        )  # fmt: skip
    else:
        return Exit.OK
    if as_json:
        return Exit.FAILED if error.code == "slot.damaged" else Exit.NOTHING
    return say_error(error, as_json=False)


def _scrub_of(values: Mapping[str, object]) -> tuple[int, str, list[tuple[str, str, str]]]:
    value = values.get("LastScrub")
    if not isinstance(value, tuple) or len(value) != 3:
        raise OtaError(
            "daemon.protocol", "the daemon did not understand the request", details="it is an older one, without scrubs"
        )
    number, phase, results = value
    return int(number), str(phase), [(str(slot), str(result), str(text)) for slot, result, text in results]


def _progress(values: Mapping[str, object]) -> str:
    value = values.get("Progress")
    if not isinstance(value, tuple) or len(value) != 3 or not value[1]:
        return ""
    return f"{progress_bar(float(value[0]))}  {value[1]}"
