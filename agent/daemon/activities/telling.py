"""What the server, and whoever looks at the device, are told while an update is under way."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from agent.daemon.context import Context
from agent.daemon.record import Record
from agent.hawkbit import feedback
from agent.hawkbit.model import Artifact, Chunk, Deployment
from agent.wire import Frame

_log = logging.getLogger(__name__)
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_MAX_FACT = 1024  # characters of one fact on D-Bus
_MAX_FACTS = 64


def phase(context: Context, record: Record, number: int, *lines: str) -> Record:
    """Tells the server that a phase has begun, unless that was said already; the record that knows it is not saved here.

    Each message is an entry in the server's history of the action, of which there may be 1000 by default; this rule keeps
    ours to about a dozen, however often a phase is begun again.
    """
    if record.origin != "server" or context.server is None or record.told == number:
        return record
    context.server.say(feedback.proceeding(record.action_id, *lines, code=number))
    return replace(record, told=int(number))


def facts(deployment: Deployment, chunk: Chunk, artifact: Artifact) -> dict[str, str]:
    """What the server says about what it offers: advice for people and programs on the device, not trusted by anybody."""
    known = {
        "action": deployment.action_id, "name": chunk.name, "version": chunk.version, "part": chunk.part,
        "file": artifact.filename, "size": str(artifact.size), "download": deployment.download,
        "update": deployment.update, "window": deployment.window or "",
    }  # fmt: skip
    metadata = {f"metadata.{key}": value for key, value in chunk.metadata.items()}
    return {key: value[:_MAX_FACT] for key, value in [*known.items(), *metadata.items()][:_MAX_FACTS]}


def remembered(record: Record) -> dict[str, str]:
    """The same from the record, which is what a new start of the daemon knows without asking."""
    return {
        "action": record.action_id, "version": record.announced or record.version, "file": record.name,
        "size": str(record.size), "download": record.download, "update": record.update, "window": record.window,
    }  # fmt: skip


def offer(context: Context, told: Mapping[str, str], consent: str = "") -> None:
    """Shows an offer.

    Args:
        context: the collaborators.
        told: see ``facts``; empty when there is none any more.
        consent: ``wanted``, ``confirmed`` or ``denied``; empty when nobody is asked.
    """
    context.desk.offering(told.get("action", ""), consent, told)
    context.tell({"Offer": {**told, "consent": consent} if told else {}})


def progress(context: Context, frame: Frame) -> None:
    """Shows how far the installer is, and logs what a bundle's program says."""
    if frame.op == "said":
        _log.info("bundle's program: %s", frame.text("text")[:500])
        if frame.text("progress", ""):
            context.tell({"Progress": (0.0, frame.text("progress")[:500], 0)})
        return
    done, total = frame.number("bytes"), max(1, frame.number("of"))
    words: Mapping[str, str] = {"fetched": "fetching", "written": "writing", "checked": "reading back"}
    text = f"{words.get(frame.text('stage'), 'working')} {amount(done)} of {amount(total)}"
    context.tell({"Progress": (done / total, text, done)})


def amount(size: int) -> str:
    """Bytes with a unit of 1024."""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 100 else f"{value:.1f} {_UNITS[unit]}"
