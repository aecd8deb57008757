"""Ways in which the development server misbehaves on request."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of misbehaviour; what is left at its default behaves well.

    Args:
        path: regular expression searched in the path with query.
        times: how many requests it strikes.
        method: only this HTTP method; empty for all.
        status: answer with this status at once, with ``headers`` and ``body``.
        headers: added to the answer; with ``status`` they are the whole answer's.
        body: sent with ``status``.
        delay: seconds of silence before the answer.
        drop_after: bytes of the body after which the connection is closed; ``reset`` makes it abrupt.
        reset: close with RST instead of FIN.
        stall_after: bytes of the body after which the server falls silent until it is stopped or the client leaves.
        bytes_per_second: speed limit of the body.
        ignore_range: answer a range request with the whole file and 200.
        endless: never stop sending after the body; chunked, without a length.
        flip_at: offset in the file of a byte to change.
        size_delta: lie about the size of the file by so many bytes.
        etag: this entity tag instead of the true one.
        lose_answer: do what is asked, and close the connection without an answer.
        twice: do what is asked twice, as when a proxy repeats a request; the second answer is sent.
        header_pause: seconds after each octet of the status line and the headers.
        date_skew: seconds by which the ``Date`` of the answer is wrong.
        link_root: scheme and authority of the links in documents instead of the true ones.
        false_hash: tell wrong digests of files.
        false_size: tell sizes of files that are wrong by so many bytes.
        elsewhere: send a download to a second listener, which refuses every ``Authorization``.
    """

    path: str = "/artifacts/"
    times: int = 1
    method: str = ""
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    drop_after: int | None = None
    reset: bool = False
    stall_after: int | None = None
    bytes_per_second: int | None = None
    ignore_range: bool = False
    endless: bool = False
    flip_at: int | None = None
    size_delta: int = 0
    etag: str = ""
    lose_answer: bool = False
    twice: bool = False
    header_pause: float = 0.0
    date_skew: float = 0.0
    link_root: str = ""
    false_hash: bool = False
    false_size: int = 0
    elsewhere: bool = False


NO_FAULT = Fault(times=0)


class Faults:
    """The faults in store; the first that fits strikes, and is used up after its number of times."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[Fault, int]] = []

    def add(self, fault: Fault) -> None:
        """Puts a fault behind the others."""
        re.compile(fault.path)
        with self._lock:
            self._waiting.append((fault, fault.times))

    def clear(self) -> None:
        """The server behaves well again."""
        with self._lock:
            self._waiting.clear()

    @property
    def left(self) -> int:
        """How many strikes have not happened yet."""
        return sum(times for _, times in self.waiting())

    def waiting(self) -> list[tuple[Fault, int]]:
        """The faults and how often each still strikes."""
        with self._lock:
            return list(self._waiting)

    def take(self, method: str, path: str) -> Fault:
        """Returns the fault that strikes this request, or one that does nothing."""
        with self._lock:
            for index, (fault, times) in enumerate(self._waiting):
                if times > 0 and fault.method in ("", method) and re.search(fault.path, path):
                    self._waiting[index] = (fault, times - 1)
                    return fault
        return NO_FAULT

    def respond(
        self,
        status: int,
        *,
        times: int = 1,
        path: str = ".",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        method: str = "",
    ) -> None:
        """Answers the next requests with a status, for example 503 with ``Retry-After``."""
        self.add(Fault(path=path, times=times, status=status, headers=headers or {}, body=body, method=method))

    def redirect(self, location: str, *, times: int = 1, path: str = "/artifacts/", status: int = 302) -> None:
        """Sends the next requests elsewhere."""
        self.respond(status, times=times, path=path, headers={"Location": location})

    def drop(self, after: int, *, times: int = 1, path: str = "/artifacts/", reset: bool = False) -> None:
        """Closes the connection after so many bytes of the body."""
        self.add(Fault(path=path, times=times, drop_after=after, reset=reset))

    def throttle(self, bytes_per_second: int, *, times: int = 1000, path: str = "/artifacts/") -> None:
        """Sends the body slowly."""
        self.add(Fault(path=path, times=times, bytes_per_second=bytes_per_second))

    def lose_answer(self, *, times: int = 1, path: str = "/feedback", reset: bool = False) -> None:
        """Does what is asked, and says nothing."""
        self.add(Fault(path=path, times=times, lose_answer=True, reset=reset))

    def corrupt(self, offset: int, *, times: int = 1000, path: str = "/artifacts/") -> None:
        """Changes one byte of the file."""
        self.add(Fault(path=path, times=times, flip_at=offset))
