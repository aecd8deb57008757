"""The shape of one setting in the table. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from agent.config_values import Kind


class Required(Enum):
    """Marks a setting without a default."""

    REQUIRED = "required"


REQUIRED: Final = Required.REQUIRED


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        section: the TOML table; ``slot`` stands for every ``slot.CLASS.INDEX``.
        key: the key in it; ``*`` stands for any key.
        kind: what is accepted.
        default: the TOML value taken when nothing is configured, or REQUIRED.
        help: one sentence for the manual.
        since: the version of ota-agent that introduced it.
    """

    section: str
    key: str
    kind: Kind
    default: object
    help: str
    since: str = "0.1"
