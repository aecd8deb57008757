"""What an operator does, by the Management API alone, and what the server says in the end."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from support.management import Management

_FINAL = {"finished": "FINISHED", "error": "ERROR", "canceled": "CANCELED"}
_number = itertools.count(1)


def unique(name: str) -> str:
    """A name that no earlier run has left on a server that goes on running."""
    return f"{name}-{os.getpid()}-{next(_number)}"


@dataclass(frozen=True, slots=True)
class Word:
    """The server's picture of one action when all is over.

    Args:
        final: the ends that it has heard of, oldest first; one if all is well.
        active: whether it still waits for the device.
        installed: version of the distribution set that it believes to run; empty when none.
        messages: all texts of the action's history.
        code: the last status code.
    """

    final: tuple[str, ...]
    active: bool
    installed: str
    messages: str
    code: int | None


def publish(management: Management, bundle: Path, version: str) -> int:
    """Uploads a bundle as a distribution set; returns its id."""
    name = unique("system")
    module = management.module(name, version)
    management.artifact(module, bundle)
    return management.distribution(name, version, [module])


def word(management: Management, controller_id: str, action: int, *, downloads: bool = False) -> Word:
    """What the server says about an action.

    Args:
        downloads: the action is download-only, so that ``downloaded`` is its end.
    """
    about = management.action(controller_id, action)
    history = management.statuses(controller_id, action)[::-1]
    ends = {**_FINAL, **({"downloaded": "DOWNLOADED"} if downloads else {})}
    found = management.installed(controller_id)
    return Word(
        final=tuple(ends[entry["type"]] for entry in history if entry["type"] in ends),
        active=bool(about.get("active", about["status"] != "finished")),
        installed=str(found["version"]) if found else "",
        messages="\n".join(text for entry in history for text in entry["messages"] if text),
        code=about.get("lastStatusCode"),
    )


def accept_tokens(management: Management, gateway: str) -> None:
    """Lets devices in by their own tokens and by the gateway's."""
    management.configure("authentication.targettoken.enabled", True)
    management.configure("authentication.gatewaytoken.enabled", True)
    management.configure("authentication.gatewaytoken.key", gateway)


def register(management: Management, names: Sequence[str], token: str) -> None:
    """Registers many devices at once."""
    made = [{"controllerId": name, "name": name, "securityToken": token} for name in names]
    management.call("POST", "/targets", made)
