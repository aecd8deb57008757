"""OFFERED: what exactly is offered? WAITING: may it be installed now?"""

from __future__ import annotations

import logging
import os
from dataclasses import replace

from agent.daemon.activities.watch import Watch
from agent.daemon.context import Context
from agent.daemon.machine import Event
from agent.daemon.record import Record
from agent.daemon.runner import Step
from agent.daemon.server import Server
from agent.errors import BundleError, ConfigError, OtaError
from agent.hawkbit import feedback
from agent.hawkbit.model import Deployment, choose_artifact, download_link

_log = logging.getLogger(__name__)


def offered(context: Context, record: Record) -> Step:
    """Finds the bundle of the deployment, or looks at the local file."""
    if record.origin == "local":
        try:
            size = os.stat(record.url).st_size
        except OSError as error:
            raise BundleError(
                "bundle.not-found", "there is no such bundle", details=str(error), resolution="check the path",
            ) from error  # fmt: skip
        return Step(Event.DONE, replace(record, size=size, update="forced"))
    server = context.server
    if server is None:
        raise ConfigError("server.none", "an update from the server is recorded, but no server is configured")
    deployment = _deployment(server, Watch(context, record), record)
    chunk, artifact = choose_artifact(deployment)
    server.say(
        feedback.proceeding(record.action_id, f"{artifact.filename}: looking at the bundle before anything is written")
    )
    record = replace(
        record,
        action_id=deployment.action_id,
        update=deployment.update,
        url=server.absolute(download_link(artifact)),
        name=artifact.filename,
        size=artifact.size,
        sha256=artifact.sha256 or "",
        version=chunk.version,
    )
    return Step(Event.DONE, record)


def waiting(context: Context, record: Record) -> Step:
    """Waits while the server offers the action but does not allow the installation (a closed maintenance window)."""
    server = context.server
    watch = Watch(context, record, server.plan.poll_interval if server is not None else None)
    watch.look()
    while record.origin == "server" and record.update == "skip":
        context.installers.dismiss()
        watch.wait(watch.interval)
        if server is not None:
            record = _reread(server, watch, record)
    return Step(Event.DONE, record)


def _reread(server: Server, watch: Watch, record: Record) -> Record:
    """What the server allows now; a window may be days away, and hours without a network are no reason to give up."""
    try:
        return replace(record, update=_deployment(server, watch, record).update)
    except OtaError as error:
        if not error.retryable:
            raise
        _log.warning("still waiting: %s", error, extra={"OTA_ERROR_CODE": error.code})
        return record


def _deployment(server: Server, watch: Watch, record: Record) -> Deployment:
    """Reads the document; when it is gone, the server is asked whether it has taken the action back."""
    try:
        return server.deployment(record.href)
    except OtaError as error:
        if error.code == "net.not-found":
            watch.ask()
        raise
