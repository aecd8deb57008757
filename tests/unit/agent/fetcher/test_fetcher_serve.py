"""What counts as an interruption of a download: only what happened after somebody was reached."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from agent.errors import EnvironmentFault
from agent.fetcher.serve import Served, Transfer
from agent.fetcher.terms import Terms, parse_terms
from agent.wire import Channel, pair

SIZE = 100


class Line:
    """A session whose attempts end as a test says: with a code after some bytes, or (empty) with all of them."""

    def __init__(self, *ends: tuple[str, int]) -> None:
        self.terms: Terms = parse_terms({"origin": "https://h"})
        self.ends = list(ends)
        self.asked: list[str] = []

    def shown(self, url: str) -> str:
        return url

    @contextmanager
    def open(self, _url: str, headers: Mapping[str, str]) -> Iterator[Any]:
        self.asked.append(headers["Range"])
        code, came = self.ends.pop(0)
        if code and not came:
            raise EnvironmentFault(code, "as told")
        first, last = map(int, headers["Range"].removeprefix("bytes=").split("-"))
        left = came or last - first + 1

        def read1(most: int, *, decode_content: bool) -> bytes:
            nonlocal left
            assert not decode_content
            size = min(most, left)
            left -= size
            if not size and code:
                raise EnvironmentFault(code, "as told")
            return bytes(size)

        reply = {"Content-Range": f"bytes {first}-{last}/{SIZE}", "ETag": '"e"'}
        yield SimpleNamespace(status_code=206, headers=reply, raw=SimpleNamespace(read1=read1))


def transferred(line: Line) -> tuple[Served, list[tuple[int, int]], str]:
    """Reads everything once; returns how it ended, what was reported, and the last message to the reader."""
    near, far = pair("reader", "fetcher")
    reports: list[tuple[int, int]] = []
    transfer = Transfer(
        line, "https://h/b", SIZE, far, step=40, report=lambda *spent: reports.append(spent), chance=lambda: 0.0
    )  # type: ignore[arg-type]  # the same interface
    ends: list[Served] = []
    thread = threading.Thread(target=lambda: ends.append(transfer.run()))
    thread.start()
    last = _read(near)
    near.close()
    thread.join(20)
    far.close()
    return ends[0], reports, last


def _read(near: Channel) -> str:
    near.send({"op": "read", "offset": 0, "length": SIZE})
    got = 0
    while got < SIZE:
        frame = near.recv(20)
        assert frame is not None
        if frame.op == "error":
            return "error"
        got += len(frame.body)
    return "data"


@pytest.mark.req("S09")
@pytest.mark.parametrize("code", ["net.dns", "net.connect", "net.proxy"])
def test_attempts_that_reach_nobody_cost_no_retries(code: str) -> None:
    end, reports, last = transferred(Line((code, 0), (code, 0), (code, 0), ("", 0)))
    assert (end.bytes, end.retries, last) == (SIZE, 0, "data")
    assert reports == [(SIZE, 0)]


@pytest.mark.parametrize("code", ["net.short-body", "net.timeout", "net.tls-failed", "net.protocol"])
def test_attempts_that_broke_at_a_server_cost_one_each(code: str) -> None:
    end, reports, _ = transferred(Line((code, 0), (code, 30), ("", 0)))
    assert (end.bytes, end.retries) == (SIZE, 2)
    assert reports == [(0, 1), (30, 1), (30, 2), (SIZE, 2)]


def test_a_network_that_goes_away_in_the_middle_costs_one_and_the_next_attempt_begins_at_the_missing_byte() -> None:
    line = Line(("net.connect", 30), ("net.connect", 0), ("", 0))
    assert transferred(line)[0].retries == 1
    assert line.asked == ["bytes=0-99", "bytes=30-99", "bytes=30-99"]


def test_what_is_no_use_to_try_again_is_told_at_once() -> None:
    line = Line(("net.insecure", 0))
    end, _, last = transferred(line)
    assert (end.retries, last, end.error is not None) == (0, "error", True)
    assert len(line.asked) == 1
