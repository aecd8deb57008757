"""How the commands speak: text for people, one JSON document for programs, and always a meaningful exit status."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import IntEnum

from agent.errors import explain


class Exit(IntEnum):
    """The exit statuses of ``ota-agent``."""

    OK = 0
    FAILED = 1
    USAGE = 2  # also: the configuration is wrong
    NOTHING = 3  # there was nothing to do
    UNREACHABLE = 4  # the daemon does not answer


_NOTHING_TO_DO = ("server.none", "update.none", "scrub.nothing", "check.too-soon")


def say(lines: Sequence[str] | str) -> None:
    """Writes lines for a person; what the terminal cannot show is replaced."""
    text = lines if isinstance(lines, str) else "\n".join(lines)
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")
    sys.stdout.flush()


def say_over(line: str) -> None:
    """Writes a line that the next one replaces on a terminal, and follows elsewhere."""
    if sys.stdout.isatty():
        sys.stdout.write(f"\r\x1b[K{line}")  # ECMA-48: erase to the end of the line
        sys.stdout.flush()
    else:
        say(line)


def end_over() -> None:
    """Keeps the last line of ``say_over``."""
    if sys.stdout.isatty():
        say("")


def say_json(value: object) -> None:
    """Writes one JSON document on one line."""
    sys.stdout.write(json.dumps(value, default=str) + "\n")
    sys.stdout.flush()


def say_error(error: BaseException, *, as_json: bool) -> Exit:
    """Explains an error, on standard output as JSON or on standard error as text; returns the exit status."""
    parts = explain(error)
    if as_json:
        say_json({"error": parts})
    else:
        lines = [f"error: {parts['brief']} [{parts['code']}]"]
        lines += [f"  {line}" for line in str(parts["details"]).splitlines()]
        if parts["resolution"]:
            lines.append(f"next: {parts['resolution']}")
        sys.stderr.write("\n".join(lines) + "\n")
    return exit_status(str(parts["code"]))


def exit_status(code: str) -> Exit:
    """The exit status for an error code."""
    if code == "daemon.unreachable":
        return Exit.UNREACHABLE
    if code.startswith("config."):
        return Exit.USAGE
    return Exit.NOTHING if code in _NOTHING_TO_DO else Exit.FAILED
