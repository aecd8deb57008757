"""``ota-agent audit``: shows, verifies and exports what was decided on this device."""

from __future__ import annotations

import datetime
import json
import os
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.audit.chain import Broken, Link, read_export
from agent.audit.files import Files
from agent.cli.output import Exit, say, say_error, say_json
from agent.errors import ConfigError, EnvironmentFault, OtaError

_TRIES = 5  # the oldest file may be removed while the others are being opened


def show(arguments: Namespace) -> int:
    """Shows the records, the oldest first; tells when the chain does not hold."""
    since = _moment(arguments.since) if arguments.since else 0
    problem: OtaError | None = None
    try:
        for _, entry in read_export(_lines(arguments)):
            values = entry.values
            if _int(values.get("wall")) >= since and arguments.event in (None, values.get("event")):
                if arguments.json:
                    say(entry.record.decode("ascii"))
                else:
                    say(_line(values))
    except Broken as broken:
        problem = _damaged(broken)
    return say_error(problem, as_json=False) if problem is not None else Exit.OK


def verify(arguments: Namespace) -> int:
    """Says whether the chain holds, of this device or of an exported file; exit status 1 if not."""
    lines = _file(arguments.file) if arguments.file is not None else _lines(arguments)
    first, last = 0, Link(0, "")
    try:
        for at, entry in read_export(lines):
            first, last = first or entry.values["seq"], at
    except Broken as broken:
        if arguments.json:
            say_json({"ok": False, "first_bad": broken.seq, "why": broken.why})
            return Exit.FAILED
        return say_error(_damaged(broken), as_json=False)
    if arguments.json:
        say_json({"ok": True, "first": first, "last": last.count, "head": last.head})
    elif not first:
        say("in order: there are no records")
    else:
        say(f"in order: records {first} to {last.count}, head {last.head}")
    return Exit.OK


def export(arguments: Namespace) -> int:
    """Writes all records into a new file, which can be verified anywhere."""
    path: Path = arguments.file
    try:
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            try:
                file.writelines(_lines(arguments))
            except BaseException:
                path.unlink()
                raise
    except OSError as error:
        raise EnvironmentFault(
            "audit.export", "the records cannot be exported", details=str(error),
            resolution="name a file that does not exist yet, where there is room",
        ) from error  # fmt: skip
    if arguments.json:
        say_json({"file": str(path)})
    else:
        say(f"exported; verify it with: ota-agent audit verify {path}")
    return Exit.OK


def _lines(arguments: Namespace) -> Iterator[bytes]:
    """The lines of an export: read by root, or asked of the daemon by anybody else."""
    if os.geteuid() == 0 or arguments.config:
        return _stored(arguments.config)
    return _asked(arguments.bus)


def _stored(config: list[Path] | None) -> Iterator[bytes]:
    from agent.config import survey

    directory = survey(config)[1].sections["system"]["state-dir"].value
    if not isinstance(directory, Path):
        raise ConfigError(
            "config.invalid",
            "the configuration has a problem",
            details="it does not say where the state is (system.state-dir)",
        )
    for _ in range(_TRIES):
        try:
            return Files(directory / "audit").copy()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unreadable(error) from error
    raise EnvironmentFault("audit.unreadable", "the audit log cannot be read", details="it changes all the time")


def _asked(bus: str) -> Iterator[bytes]:
    from agent.cli.client import Client

    with tempfile.NamedTemporaryFile(prefix="ota-agent-audit-") as file:
        fd = os.open(file.name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            with Client(bus) as client:
                client.export(fd, "audit")
        finally:
            os.close(fd)
        yield from file


def _file(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise _unreadable(error) from error


def _line(values: Any) -> str:  # noqa: ANN401 - a record
    """One record for a person. A time that was not certain is marked."""
    when = datetime.datetime.fromtimestamp(_int(values.get("wall")), datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
    mark = " " if values.get("wall_quality") == "synced" else "~"
    data = values.get("data")
    more = " ".join(f"{key}={json.dumps(value)}" for key, value in data.items()) if isinstance(data, dict) else ""
    subject = str(values.get("subject", ""))
    shown = subject if subject.isprintable() else json.dumps(subject)
    return f"{values['seq']:>6} {mark}{when}  {values.get('event')!s:<17} {shown}  {more}".rstrip()


def _int(value: object) -> int:
    return min(value, 253_402_300_799) if isinstance(value, int) and value > 0 else 0  # the end of the year 9999


def _moment(text: str) -> int:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            "config.since",
            "this is no date",
            details=text[:100],
            resolution="write it as 2026-11-01 or 2026-11-01T14:00",
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp())


def _damaged(broken: Broken) -> OtaError:
    return OtaError(
        "audit.damaged", f"the records are not in order from number {broken.seq} on", details=broken.why,
        resolution="keep an export for examination; then look whether the medium is failing, or who was on the device",
    )  # fmt: skip


def _unreadable(error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        "audit.unreadable", "the audit log cannot be read", details=str(error),
        resolution="repeat it as root, or check the file system of system.state-dir",
    )  # fmt: skip
