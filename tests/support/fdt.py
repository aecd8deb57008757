"""Writes a flattened device tree (Devicetree Specification 0.4, chapter 5), as far as a description of barebox' state needs."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

Property = str | Sequence[int]
Node = tuple[str, Mapping[str, Property], Sequence["Node"]]  # name, properties, children
_CELLS = {"#address-cells": (1,), "#size-cells": (1,)}


def blob(root: Node) -> bytes:
    """The tree as bytes."""
    strings: dict[str, int] = {}
    names = bytearray()

    def offset(name: str) -> int:
        if name not in strings:
            strings[name] = len(names)
            names.extend(name.encode() + b"\0")
        return strings[name]

    def node(each: Node) -> bytes:
        name, properties, children = each
        out = struct.pack(">I", 1) + _padded(name.encode() + b"\0")
        for key, value in properties.items():
            data = value.encode() + b"\0" if isinstance(value, str) else struct.pack(f">{len(value)}I", *value)
            out += struct.pack(">3I", 3, len(data), offset(key)) + _padded(data)
        return out + b"".join(map(node, children)) + struct.pack(">I", 2)

    structure = node(root) + struct.pack(">I", 9)
    start = 40 + 16
    total = start + len(structure) + len(names)
    head = (0xD00DFEED, total, start, start + len(structure), 40, 17, 16, 0, len(names), len(structure))
    return struct.pack(">10I", *head) + bytes(16) + structure + bytes(names)


def barebox_blob(partuuid: str, names: Sequence[str]) -> bytes:
    """A state of barebox with bootchooser variables for some slots, in a partition that is found by its number."""
    slots: list[Node] = [
        (
            name,
            _CELLS,
            [
                (f"remaining_attempts@{8 * at:x}", {"reg": (8 * at, 4), "type": "uint32", "default": (3,)}, ()),
                (f"priority@{8 * at + 4:x}", {"reg": (8 * at + 4, 4), "type": "uint32", "default": (20 - at,)}, ()),
            ],
        )
        for at, name in enumerate(names)
    ]
    partition: Node = ("state@0", {"reg": (0, 0x10000), "partuuid": partuuid, "phandle": (1,)}, ())
    state = {
        "magic": (0x4D433230,), "compatible": "barebox,state", "backend": (1,), "backend-type": "raw",
        "backend-storage-type": "direct", "backend-stridesize": (0x400,), **_CELLS,
    }  # fmt: skip
    children: list[Node] = [
        ("aliases", {"state": "/state"}, ()),
        ("disk", {"compatible": "fixed-partitions", **_CELLS}, [partition]),
        ("state", state, [("bootstate", _CELLS, slots)]),
    ]
    return blob(("", {"compatible": "test,board", **_CELLS}, children))


def _padded(data: bytes) -> bytes:
    return data.ljust(-(-len(data) // 4) * 4, b"\0")
