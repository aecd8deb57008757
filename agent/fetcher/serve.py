"""Reads a file from a server for somebody at the other end of a socket, piece by piece, through all interruptions.

The protocol of that socket is described at ``agent.bundle.source.RemoteSource``. Every read is one range request; when the
connection breaks, the next request begins at the very byte that is missing, and ``If-Range`` with the first entity tag
makes sure that it is still the same file. Nothing is judged here but lengths: whether the bytes are right is the
installer's business.
"""

from __future__ import annotations

import random
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import requests
import urllib3.exceptions

from agent.errors import EnvironmentFault, explain
from agent.fetcher import ranges
from agent.fetcher.failures import short_body
from agent.fetcher.pace import Account, Pace
from agent.fetcher.patience import LONGEST_RETRY_AFTER, Attempts, Meter
from agent.fetcher.session import Session
from agent.http_date import retry_after
from agent.wire import Channel, Frame, WireError

FRAME = 256 * 1024  # bytes per message
FILLED = 128 * 1024  # a message this full is not kept back for more
HOLD = 0.25  # seconds; nor is an older one, unless the server is silent
_NOBODY_THERE = ("net.dns", "net.connect", "net.proxy")
_RETRIED = (*_NOBODY_THERE, "net.timeout", "net.short-body", "net.too-slow", "net.tls-failed", "net.protocol")


class _ReaderGone(Exception):
    """The other end of the data channel has closed: the normal end of a transfer."""


@dataclass(frozen=True, slots=True)
class Served:
    """How a transfer ended; ``error`` is what the reader was told last, if it gave up after that."""

    bytes: int
    retries: int
    error: EnvironmentFault | None


@dataclass(slots=True)
class Transfer:
    """One file for one reader.

    Args:
        session: the conversation with the server.
        url: where the file is.
        size: its announced length in bytes.
        channel: to the reader.
        step: bytes from one report to the next; 0: nothing is reported.
        report: told the bytes and the retries so far.
        clock: seconds that do not jump.
        chance: random numbers from 0 to 1.
    """

    session: Session
    url: str
    size: int
    channel: Channel
    step: int = 0
    report: Callable[[int, int], None] = lambda _bytes, _retries: None
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    _account: Account = field(init=False)
    _pace: Pace = field(init=False)
    _version: ranges.Version = field(init=False)
    _meter: Meter = field(init=False)

    def __post_init__(self) -> None:
        terms = self.session.terms
        self._version = ranges.Version(self.size)
        self._meter = Meter(terms.slow_rate, terms.slow_time)
        self._account = Account(self.step)
        self._pace = Pace(terms.max_rate)

    def run(self) -> Served:
        """Serves until the reader closes its end; errors go to the reader, who may ask again."""
        error: EnvironmentFault | None = None
        try:
            while (frame := self.channel.recv()) is not None:
                error = None
                try:
                    self._answer(frame)
                except EnvironmentFault as fault:
                    error = fault
                    self._send({"op": "error", "error": explain(fault)})
        except (_ReaderGone, WireError):
            pass  # a reader that was killed is the daemon's business, which started it
        return Served(self._account.bytes, self._account.retries, error)

    def _answer(self, frame: Frame) -> None:
        offset, length = frame.number("offset"), frame.number("length")
        for fd in frame.fds:
            raise WireError("ipc.protocol", f"the reader sent a descriptor ({fd})")
        if frame.op != "read" or length == 0 or offset + length > self.size:
            raise WireError("ipc.protocol", "the reader asked for something that is not there", retryable=False)
        attempts = Attempts()
        position, end = offset, offset + length
        while position < end:
            began = position
            try:
                for piece in self._attempt(position, end):
                    self._send({"op": "data", "offset": position}, piece)
                    position += len(piece)
                    self._account.bytes += len(piece)
                    self._tell()
            except EnvironmentFault as fault:
                asked = _worth_another(fault)
                if not attempts.failed(position - began, slow=fault.code == "net.too-slow"):
                    raise
                if position > began or fault.code not in _NOBODY_THERE:
                    self._account.retries += 1
                    self._tell()
                self._pause(attempts.delay(self.chance(), asked))

    def _tell(self) -> None:
        if self._account.due(self.clock()):
            self.report(self._account.bytes, self._account.retries)

    def _attempt(self, position: int, end: int) -> Iterator[bytes]:
        """One request; yields what it brings, and raises when it ends early."""
        where = self.session.shown(self.url)
        headers = {"Range": f"bytes={position}-{end - 1}", **self._version.condition()}
        with self.session.open(self.url, headers) as response:
            count = self._expected(response, position, end, where)
            came = 0
            for piece in self._pieces(response, count):
                came += len(piece)
                yield piece
            if came < count:
                raise short_body(where, f"{came} of {count} bytes came")

    def _expected(self, response: requests.Response, position: int, end: int, where: str) -> int:
        try:
            return ranges.expect(self._version, response.status_code, response.headers, position, end - 1, where)
        except EnvironmentFault as fault:
            if fault.code == "net.http-status" and response.status_code in ranges.RETRIED:
                headers = response.headers
                asked = retry_after(headers.get("Retry-After", ""), headers.get("Date", ""))
                raise _Refused(fault, asked) from fault
            raise

    def _pieces(self, response: requests.Response, left: int) -> Iterator[bytes]:
        """Yields the body in pieces of a good size; what has come before a failure is passed on before it is raised."""
        failure: Exception | None = None
        while left > 0 and failure is None:
            pieces: list[bytes] = []
            try:
                self._fill(response, left, pieces)
            except (urllib3.exceptions.HTTPError, OSError, EnvironmentFault) as error:
                failure = error
            if not pieces:
                break
            whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            left -= len(whole)
            yield whole
        if failure is not None:
            raise failure

    def _fill(self, response: requests.Response, most: int, pieces: list[bytes]) -> None:
        """Reads until there is enough for a message, or until a part of it was kept back for long enough."""
        got, started = 0, self.clock()
        before = started
        while got < min(FILLED, most) and before - started <= HOLD:
            piece = response.raw.read1(self._pace.portion(min(FRAME - got, most - got)), decode_content=False)
            after = self.clock()
            if not piece:
                return
            pieces.append(piece)
            got += len(piece)
            if self._meter.count(len(piece), after - before):
                raise _too_slow(self._meter)
            if pause := self._pace.wait(len(piece), after):
                self._pause(pause)
            before = self.clock()

    def _send(self, header: dict[str, object], body: bytes | memoryview = b"") -> None:
        try:
            self.channel.send(header, body)
        except WireError as error:
            raise _ReaderGone from error

    def _pause(self, seconds: float) -> None:
        """Waits, but not for a reader that has left."""
        poll = select.poll()
        poll.register(self.channel.fileno(), select.POLLRDHUP)
        if poll.poll(seconds * 1000):
            raise _ReaderGone


class _Refused(EnvironmentFault):
    """A status that means "later", and when."""

    def __init__(self, fault: EnvironmentFault, asked: float | None) -> None:
        super().__init__(fault.code, fault.brief, details=fault.details, resolution=fault.resolution)
        self.asked = asked


def _worth_another(fault: EnvironmentFault) -> float | None:
    """Returns the pause that the server asked for; raises the fault again when an attempt now would not help."""
    if isinstance(fault, _Refused) and (fault.asked is None or fault.asked <= LONGEST_RETRY_AFTER):
        return fault.asked
    if fault.code not in _RETRIED:
        raise fault
    return None


def _too_slow(meter: Meter) -> EnvironmentFault:
    return EnvironmentFault(
        "net.too-slow",
        "the download is too slow",
        details=f"below {meter.slow_rate:g} bytes per second over {meter.slow_time:g} s",
        resolution="check the network; it will be tried again later",
    )
