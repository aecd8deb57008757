"""FETCHING: a download-only action. Every byte is fetched and verified, and nothing is written to a slot.

Nothing of a streamed bundle is kept: there is no room for it on devices that update by streaming, and an installation
later fetches it again. A plain bundle has to be stored before it can be verified; it stays until the next update ends,
and is then not fetched again.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from agent.consent.rules import Stride
from agent.daemon.activities import telling
from agent.daemon.activities.pause import Interrupted, Pause
from agent.daemon.activities.work import work
from agent.daemon.context import Context
from agent.daemon.machine import Event
from agent.daemon.record import Record
from agent.daemon.runner import Step
from agent.errors import EnvironmentFault
from agent.hawkbit.phases import Phase

_log = logging.getLogger(__name__)


def fetching(context: Context, record: Record) -> Step:
    """Reads the whole bundle through its verification."""
    text = f"version {record.version} is to be downloaded only; fetching and verifying all of it"
    record = telling.phase(context, record, Phase.FETCHING, text)
    context.memory.save(record)
    pause = Pause(context, Stride.DOWNLOAD)
    try:
        answer = work(
            context, record, {"op": "fetch", "manifest_hash": record.manifest_hash},
            lambda frame: telling.progress(context, frame), lambda: pause.look(record),
        )  # fmt: skip
    except Interrupted as order:
        _log.info("the download is interrupted: %s", order)
        return Step(Event.HELD, record)
    if answer.op != "fetched":
        raise EnvironmentFault("ipc.protocol", "the installer answered something else", details=answer.op[:60])
    _log.info("the bundle of version %s was fetched and verified", record.version)
    return Step(Event.DONE, replace(record, outcome="downloaded"))
