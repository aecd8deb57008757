"""Sends files with ranges (RFC 9110, section 14), well or as badly as a fault says."""

from __future__ import annotations

import os
import re
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

from agent.demo.server_faults import Fault
from agent.demo.server_http import FileAnswer

PIECE = 256 * 1024
_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")


class Dropped(Exception):
    """The connection is to be closed in the middle of an answer."""

    def __init__(self, sent: int) -> None:
        super().__init__("dropped on purpose")
        self.sent = sent


def wanted_range(header: str, size: int) -> tuple[int, int] | None:
    """Returns (first, last) of a single range, None for the whole file.

    Several ranges in one request are answered with the whole file, which the RFC allows.

    Raises:
        ValueError: it cannot be satisfied: 416.
    """
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None:
        return None
    first, last = found.groups()
    if not first and not last:
        raise ValueError("an empty range")
    if not first:
        count = min(int(last), size)
        first_byte, last_byte = size - count, size - 1
    else:
        first_byte, last_byte = int(first), min(int(last), size - 1) if last else size - 1
    if first_byte >= size or first_byte > last_byte:
        raise ValueError("behind the end")
    return first_byte, last_byte


def send_file(
    handler: BaseHTTPRequestHandler, answer: FileAnswer, fault: Fault, stop: threading.Event
) -> tuple[int, int]:
    """Answers GET or HEAD of a file.

    Returns:
        Status and number of body bytes.

    Raises:
        Dropped: when the fault wants the connection closed.
    """
    size = answer.size + fault.size_delta
    etag = f'"{fault.etag or answer.etag}"'
    header = "" if fault.ignore_range else handler.headers.get("Range", "")
    if handler.headers.get("If-Range", etag) != etag:
        header = ""
    match = handler.headers.get("If-Match", "")
    if match not in ("", "*", answer.etag):  # hawkBit compares the digest without quotes
        return _head(handler, 412, {"Content-Length": "0"}, fault), 0
    try:
        span = wanted_range(header, size)
    except ValueError:
        return _head(handler, 416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"}, fault), 0
    first, last = span or (0, size - 1)
    headers = {
        "Content-Type": "application/octet-stream",
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Content-Disposition": f'attachment; filename="{answer.filename}"',
        "X-Content-Type-Options": "nosniff",
    }
    if span is not None:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    headers |= {"Transfer-Encoding": "chunked"} if fault.endless else {"Content-Length": str(last - first + 1)}
    status = _head(handler, 200 if span is None else 206, headers, fault)
    if handler.command == "HEAD":
        return status, 0
    return status, _send_body(handler, answer, fault, first, last + 1, stop)


def _head(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], fault: Fault) -> int:
    handler.send_response(status)
    for name, value in {**headers, **fault.headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.flush()
    return status


def _send_body(
    handler: BaseHTTPRequestHandler, answer: FileAnswer, fault: Fault, start: int, end: int, stop: threading.Event
) -> int:
    with answer.path.open("rb") as file:
        fd = file.fileno()
        plain = fault.times == 0 and not isinstance(handler.connection, ssl.SSLSocket)
        if plain and end <= answer.size:
            return int(handler.connection.sendfile(file, start, end - start))
        sent = 0
        for data in _pieces(fd, fault, start, end):
            sent += _send_piece(handler, data, fault, sent, stop)
        while fault.endless and not stop.is_set():
            sent += _send_piece(handler, bytes(PIECE), fault, sent, stop)
        return sent


def _pieces(fd: int, fault: Fault, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        data = os.pread(fd, min(PIECE, end - start), start)
        data = data or bytes(min(PIECE, end - start))  # behind the true end, when the size is a lie
        if fault.flip_at is not None and start <= fault.flip_at < start + len(data):
            changed = bytearray(data)
            changed[fault.flip_at - start] ^= 0xFF
            data = bytes(changed)
        yield data
        start += len(data)


def _send_piece(handler: BaseHTTPRequestHandler, data: bytes, fault: Fault, sent: int, stop: threading.Event) -> int:
    limits = [limit for limit in (fault.drop_after, fault.stall_after) if limit is not None]
    room = min(limits) - sent if limits else len(data)
    kept = data[: max(room, 0)]
    for piece, pause in _paced(kept, fault.bytes_per_second):
        if fault.endless:
            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        else:
            handler.wfile.write(piece)
        if stop.wait(pause):
            raise Dropped(sent)
    if len(kept) == len(data):
        return len(data)
    if fault.stall_after is not None:
        stop.wait()
    raise Dropped(sent + len(kept))


def _paced(data: bytes, bytes_per_second: int | None) -> Iterator[tuple[bytes, float]]:
    if bytes_per_second is None:
        yield data, 0.0
        return
    step = max(1, bytes_per_second // 20)
    for start in range(0, len(data), step):
        began = time.monotonic()
        piece = data[start : start + step]
        yield piece, max(0.0, len(piece) / bytes_per_second - (time.monotonic() - began))
