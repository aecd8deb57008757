"""What we tell the server about the device: its attributes (``configData``).

hawkBit refuses the whole request for one bad pair (400 ``invalidTargetAttributes``), so every pair is made to fit here,
and what had to be changed is reported, never hidden.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

MAX_ATTRIBUTES = 100
MAX_LENGTH = 128  # characters, for keys and values
_REFUSED = re.compile(r"[^a-zA-Z0-9_\-!@#$%^&*()+=\[\]{}|;:'\",.<>/\\? ]")

Mode = Literal["merge", "replace", "remove"]


@dataclass(frozen=True, slots=True)
class Attributes:
    """Attributes that the server will take.

    ``altered`` names, by their original key, those that had to be changed or left out.
    """

    values: Mapping[str, str | None]
    altered: tuple[str, ...]


def sanitise(attributes: Mapping[str, str | None]) -> Attributes:
    """Makes attributes fit hawkBit's limits: 100 pairs, 128 characters, a set of ASCII characters.

    Args:
        attributes: in order of importance; a value of None removes the key on the server.
    """
    values: dict[str, str | None] = {}
    altered: list[str] = []
    for key, value in attributes.items():
        name = _fit(key)
        content = None if value is None else _fit(value)
        if not name or name in values or len(values) == MAX_ATTRIBUTES:
            altered.append(key)
            continue
        values[name] = content
        if (name, content) != (key, value):
            altered.append(key)
    return Attributes(MappingProxyType(values), tuple(altered))


def body(attributes: Attributes, mode: Mode = "merge") -> bytes:
    """Returns the JSON body of the PUT; ``merge`` leaves alone what others wrote."""
    return json.dumps({"mode": mode, "data": dict(attributes.values)}, separators=(",", ":")).encode("ascii")


def _fit(value: str) -> str:
    return _REFUSED.sub("_", " ".join(value.split()))[:MAX_LENGTH].strip()
