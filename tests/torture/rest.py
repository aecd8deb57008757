"""Whether a device rests after an update, and whether all is well then. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from boot.lab.boards import ATTEMPTS

from agent.config_table import SETTINGS
from torture.judge import Found, problems
from torture.story import Story, Told

ENDS = ("FINISHED", "ERROR", "CANCELED")
_LIVED_THROUGH = ATTEMPTS - 1  # power cuts on trial that do not make a healthy update fail
# Starts of one step; then the agent gives up.
_STARTS: Any = {(each.section, each.key): each.default for each in SETTINGS}["update", "attempts"]


@dataclass(frozen=True, slots=True)
class Heard:
    """What the server knows in the end: the status of the action, all ends that it was told, and the messages."""

    status: str
    ends: Sequence[str]
    messages: str = ""


@dataclass(frozen=True, slots=True)
class Lived:
    """What a device has lived through.

    Attributes:
        trials: power cuts that may have cost the new system an attempt of its trial.
        repeated: power cuts in that step of the update in which there were most.
        proven: power cuts since the new system had proved itself.
    """

    trials: int = 0
    repeated: int = 0
    proven: int = 0

    @property
    def left(self) -> bool:
        """Whether the bootloader may have left a confirmed system: its power failed, and again in each of its boots."""
        return self.proven > ATTEMPTS


def resting(found: Found, story: Story, running: str) -> bool:
    """Whether the agent does nothing any more, and the slot that runs has its attempts."""
    variables = found.environment.variables or {}
    left, full = (f"{running}_TRY", "0") if _grub(story) else (f"BOOT_{running}_LEFT", f"{ATTEMPTS:x}")
    waiting = found.documents.values.get("outbox", {}).get("entries")
    idle = found.documents.state == "idle" and not found.documents.damaged and not waiting
    return idle and variables.get(left) == full and not variables.get("OTA_TRIAL")


def wrong(found: Found, story: Story, heard: Heard, lived: Lived, *, running: str) -> list[str]:
    """What is wrong with a device that rests.

    Args:
        found: what is on its drives, all slots read.
        story: where everything lies.
        heard: by the server.
        lived: what it has lived through.
        running: the slot that was started last.
    """
    status = heard.status
    broken = problems(found, story, Told(0.0, status), before=lived.left)
    variables: Any = found.environment.variables or {}
    order = variables.get("ORDER" if _grub(story) else "BOOT_ORDER", "").split()
    if order[:1] != [running]:
        broken.append(f"slot {running} runs, but the order is {order}")
    if len(heard.ends) != 1:
        broken.append(f"the server has heard {list(heard.ends)}")
    if (status == "FINISHED") != (running == story.new) and not lived.left:
        broken.append(f"the server takes the action for {status}, but slot {running} runs")
    if running == story.new and found.slots[story.new] != "new":
        broken.append("the slot that runs does not hold the image")
    outcome = found.documents.values.get("ending", {}).get("outcome")
    if outcome != {"FINISHED": "success", "ERROR": "failure"}.get(status):
        broken.append(f"the device remembers {outcome}, the server was told {status}")
    forgiven = lived.trials > _LIVED_THROUGH or lived.repeated >= _STARTS or lived.left
    if status != "FINISHED" and not forgiven:
        broken.append(f"a healthy update ended as {status}: {lived}, {heard.messages[-800:]}")
    return broken


def _grub(story: Story) -> bool:
    return story.format == "grub"
