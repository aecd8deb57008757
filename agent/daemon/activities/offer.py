"""OFFERED: what exactly is offered, and by which file?"""

from __future__ import annotations

import os
from dataclasses import replace

from agent.daemon.activities import telling
from agent.daemon.activities.watch import Watch
from agent.daemon.context import Context
from agent.daemon.handling import Hold, before_fetching
from agent.daemon.machine import Event
from agent.daemon.record import Record
from agent.daemon.runner import Step
from agent.daemon.server import Server
from agent.errors import BundleError, ConfigError, OtaError
from agent.hawkbit.model import Artifact, Chunk, Deployment, choose_artifact, download_link
from agent.hawkbit.phases import Phase, switched_to

# The key of a software module's metadata (target visible) whose value the signed manifest's version must equal.
EXPECTED_VERSION = "ota-agent:version"


def offered(context: Context, record: Record) -> Step:
    """Finds the bundle of the deployment, or looks at the local file."""
    if record.origin == "media" and context.media is not None:
        context.media.began(record)
        return Step(Event.DONE, replace(record, download="forced", update="forced"))
    if record.origin == "local":
        size = record.size
        try:
            if not record.artifact:  # otherwise an open file was handed over
                size = os.stat(record.url).st_size
        except OSError as error:
            raise BundleError(
                "bundle.not-found", "there is no such bundle", details=str(error), resolution="check the path",
            ) from error  # fmt: skip
        return Step(Event.DONE, replace(record, size=size, download="forced", update="forced"))
    server = context.server
    if server is None:
        raise ConfigError("server.none", "an update from the server is recorded, but no server is configured")
    server.spending.forget()
    deployment = _deployment(server, Watch(context, record), record)
    record = as_offered(context, record, deployment)
    if context.desk.approved_before(identity_of(record.action_id, record.artifact)):
        record = replace(record, consent="given")  # one answer is enough
    telling.offer(context, telling.facts(deployment, *chosen(context, deployment)))
    if before_fetching(record, context.config.update.soft) is not Hold.NOTHING:
        return Step(Event.HELD, record)
    text = f"{record.name}: looking at the bundle before anything is written"
    return Step(Event.DONE, telling.phase(context, record, Phase.LOOKING, text))


def identity_of(action_id: str, artifact: str) -> str:
    """What tells an action from another one: some servers use their numbers again."""
    return f"{action_id} {artifact}"


def as_offered(context: Context, record: Record, deployment: Deployment) -> Record:
    """The record with what the server offers and allows.

    Args:
        context: the collaborators.
        record: of the update.
        deployment: the document.

    Raises:
        OtaError: ``ddi.unsupported-deployment``.
    """
    chunk, artifact = chosen(context, deployment)
    server = context.server
    return replace(
        record,
        action_id=deployment.action_id,
        download=deployment.download,
        update=deployment.update,
        window=deployment.window or "",
        url=server.absolute(download_link(artifact)) if server is not None else "",
        name=artifact.filename,
        size=artifact.size,
        sha256=artifact.sha256 or "",
        artifact=artifact.identity,
        announced=chunk.version,
        expected=chunk.metadata.get(EXPECTED_VERSION, ""),
        switched=switched_to(deployment.history),
        version=record.version or chunk.version,
    )


def chosen(context: Context, deployment: Deployment) -> tuple[Chunk, Artifact]:
    """The bundle among the files of a deployment, by the rules of ``[server]``; see ``choose_artifact``."""
    rules = context.config.server
    return choose_artifact(deployment, rules.bundle_part, rules.bundle_name)


def _deployment(server: Server, watch: Watch, record: Record) -> Deployment:
    """Reads the document; when it is gone, the server is asked whether it has taken the action back."""
    try:
        return server.deployment(record.href, keep=True)
    except OtaError as error:
        if error.code == "net.not-found":
            watch.ask()
        raise
