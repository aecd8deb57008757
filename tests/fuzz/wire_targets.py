"""The target of what another process of ours says: a fetcher that was taken over from the network."""

from __future__ import annotations

import json
import os
import random
import socket
import struct
from collections.abc import Mapping

from agent.bundle.source import RemoteSource
from agent.errors import BundleError, RemoteError
from agent.wire import Channel, WireError
from fuzz.mutate import by_lines, change_bytes, edge, either
from fuzz.target import Target

SIZE = 5000


def frame(header: Mapping[str, object], body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack(">II", len(text), len(body)) + text + body


def answers() -> list[bytes]:
    """The whole of what the fetcher sends; the first byte is how many descriptors come with it."""
    error = {"code": "net.gone", "brief": "b", "details": "d", "resolution": "r", "retryable": True}
    return [
        b"\0" + frame({"op": "data", "offset": 0}, bytes(SIZE)),
        b"\0" + b"".join(frame({"op": "data", "offset": n}, bytes(1000)) for n in range(5)),
        b"\0" + frame({"op": "data"}, bytes(100)) + frame({"op": "error", "error": error}),
        b"\2" + frame({"op": "data", "offset": 0}, bytes(SIZE)),
        b"\0" + frame({"op": "error", "error": {"code": 7, "details": [[[{"a": None}]]]}}),
    ]


def run_remote(data: bytes) -> None:
    """A read gives exactly what was asked for, and leaves no descriptor behind."""
    before = len(os.listdir("/proc/self/fd"))
    ours, theirs = socket.socketpair()
    channel = Channel(ours, "fetcher")
    try:
        rights = [theirs.fileno()] * min(data[0] if data else 0, 8)
        theirs.setblocking(False)
        if rights:
            socket.send_fds(theirs, [data[1:2] or b"\0"], rights)
        theirs.send(data[2 if rights else 1 :])
        theirs.shutdown(socket.SHUT_WR)
        source = RemoteSource(channel, SIZE)
        assert len(source.read_at(0, SIZE)) == SIZE
    finally:
        channel.close()
        theirs.close()
        assert len(os.listdir("/proc/self/fd")) == before, "descriptors were left open"


def change_frames(data: bytes, chooser: random.Random) -> bytes:
    """Changes the lengths of the first frame, or nests what its header holds."""
    if chooser.random() < 0.5:
        width = chooser.choice((1, 4))
        at = chooser.choice((1, 5)) if width == 4 else 0
        return data[:at] + edge(chooser, width, (len(data), 0)).to_bytes(width, "big") + data[at + width :]
    depth = chooser.choice((3, 100, 900, 960, 980, 990, 1000))
    nested = b"[" * depth + b"1" * chooser.choice((0, 1, 5000)) + b"]" * depth
    text = (
        b'{"op":"error","error":{"details":' + nested + b',"code":' + chooser.choice((b"1e999", b"null", b'""')) + b"}}"
    )
    return b"\0" + struct.pack(">II", len(text), 0) + text


_WORDS = (b'"op"', b'"data"', b'"error"', b"{", b"}", b"[", b"NaN", b"1e999", b"\xff", b"\\ud800", b"null")

TARGETS = (
    Target(
        "remote",
        answers,
        run_remote,
        (WireError, RemoteError, BundleError),
        either(change_bytes, change_frames, by_lines(_WORDS)),
        share=1,
    ),
)
