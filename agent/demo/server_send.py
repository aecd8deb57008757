"""Sends files with ranges (RFC 9110, section 14), well or as badly as a fault says."""

from __future__ import annotations

import io
import os
import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler
from itertools import pairwise

from agent.demo.server_faults import Fault
from agent.demo.server_http import FileAnswer

PIECE = 256 * 1024
_RANGES = re.compile(r"bytes=[0-9]*-[0-9]*(,[0-9]*-[0-9]*)*")
_BOUNDARY = "THIS_STRING_SEPARATES_MULTIPART"  # hawkBit's


class Dropped(Exception):
    """The connection is to be closed in the middle of an answer."""

    def __init__(self, sent: int) -> None:
        super().__init__("dropped on purpose")
        self.sent = sent


def wanted_ranges(header: str, size: int) -> list[tuple[int, int]]:
    """Returns (first, last) of each range, none for the whole file.

    As strict as hawkBit: what it cannot read, what overlaps and a suffix longer than the file are unsatisfiable.

    Raises:
        ValueError: 416.
    """
    if not header:
        return []
    if not _RANGES.fullmatch(header):
        raise ValueError("it cannot be understood")
    spans = []
    for part in header.removeprefix("bytes=").split(","):
        start, _, end = part.partition("-")
        if not start and not end:
            raise ValueError("an empty range")
        first = int(start) if start else size - int(end)
        last = min(int(end), size - 1) if start and end else size - 1
        if first > last or first < 0:
            raise ValueError("behind the end or before the start")
        spans.append((first, last))
    spans.sort()
    if any(later[0] <= earlier[1] for earlier, later in pairwise(spans)):
        raise ValueError("overlapping ranges")
    return spans


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
    header = "" if fault.ignore_range or handler.command == "HEAD" else handler.headers.get("Range", "")
    if not _same(handler.headers.get("If-Range"), etag, answer.modified):
        header = ""
    headers = {
        "Content-Type": "application/octet-stream",
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Last-Modified": formatdate(answer.modified, usegmt=True),
        "Content-Disposition": f'attachment;filename="{answer.filename}"',
        "X-Content-Type-Options": "nosniff",
    }
    try:
        spans = wanted_ranges(header, size)
    except ValueError:
        send_head(handler, 416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"}, fault, stop)
        return 416, 0
    if len(spans) > 1:
        return _send_parts(handler, answer, fault, spans, headers, stop)
    first, last = spans[0] if spans else (0, size - 1)
    if spans:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    headers |= {"Transfer-Encoding": "chunked"} if fault.endless else {"Content-Length": str(last - first + 1)}
    status = 206 if spans else 200
    send_head(handler, status, headers, fault, stop)
    if handler.command == "HEAD":
        return status, 0
    return status, _send_body(handler, answer, fault, first, last + 1, stop)


def _same(if_range: str | None, etag: str, modified: int) -> bool:
    """Whether ranges are of the file that the client knows (``checkIfRangeSendAll`` of hawkBit's FileStreamingUtil)."""
    if if_range is None or if_range == etag:
        return True
    try:
        return parsedate_to_datetime(if_range).timestamp() >= modified
    except ValueError:
        return False


def _send_parts(
    handler: BaseHTTPRequestHandler,
    answer: FileAnswer,
    fault: Fault,
    spans: list[tuple[int, int]],
    headers: dict[str, str],
    stop: threading.Event,
) -> tuple[int, int]:
    """Several ranges; like hawkBit's answer it has no length and ends with the connection."""
    headers |= {"Content-Type": f"multipart/byteranges; boundary={_BOUNDARY}", "Connection": "close"}
    handler.close_connection = True
    send_head(handler, 206, headers, fault, stop)
    sent = 0
    for number, (first, last) in enumerate(spans):
        begin = "" if number == 0 else "\r\n"
        part = (
            f"{begin}--{_BOUNDARY}\r\nContent-Type: application/octet-stream\r\n"
            f"Content-Range: bytes {first}-{last}/{answer.size + fault.size_delta}\r\n\r\n"
        ).encode()
        handler.wfile.write(part)
        sent += len(part) + _send_body(handler, answer, fault, first, last + 1, stop)
    handler.wfile.write(f"\r\n--{_BOUNDARY}--".encode())
    return 206, sent


def send_head(
    handler: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str], fault: Fault, stop: threading.Event
) -> None:
    """Sends the status line and the headers; octet by octet when the fault wants them slow.

    Raises:
        Dropped: when the server is stopped meanwhile.
    """
    handler.send_response(status)
    for name, value in {**headers, **fault.headers}.items():
        handler.send_header(name, value)
    out = handler.wfile
    if fault.header_pause:
        handler.wfile = _Slow(out, fault.header_pause, stop)
    try:
        handler.end_headers()
        handler.wfile.flush()
    finally:
        handler.wfile = out


class _Slow(io.BufferedIOBase):
    """Writes octet by octet."""

    def __init__(self, out: io.BufferedIOBase, pause: float, stop: threading.Event) -> None:
        self._out, self._pause, self._stop = out, pause, stop

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]  # Buffer is of Python 3.12
        for octet in bytes(data):
            self._out.write(bytes((octet,)))
            if self._stop.wait(self._pause):
                raise Dropped(0)
        return len(bytes(data))


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
