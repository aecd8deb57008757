"""Does what was just inspected run already, installed by this very action? Then it is not installed once more.

Reasons for a server to offer such an action again are a record that was lost here, an answer that was lost on the way,
and a server that was restored from a backup. What decides is what the device knows of the slot that runs; that it is
this action's work is noted with the slot, or is said by what the server remembers of our messages (ADR 20).
"""

from __future__ import annotations

from agent.daemon.activities.holdings import installed_by
from agent.daemon.context import Context
from agent.daemon.record import Record


def runs_already(context: Context, record: Record) -> bool:
    """Whether a success may be reported without installing anything.

    Args:
        context: the collaborators.
        record: of an update whose bundle was inspected.
    """
    booted = context.device.booted.bootname
    held = context.knowledge.content(booted)
    if record.origin != "server" or held.state != "confirmed" or held.manifest_hash != record.manifest_hash:
        return False
    if context.device.env.read().trial:
        return False
    return installed_by(context.knowledge, context.device) == record.action_id or (
        record.switched == record.manifest_hash[:16]
    )
