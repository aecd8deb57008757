"""The part of hawkBit that takes feedback, in memory and by its rules (``JpaControllerManagement``), with faults to order.

An action that is closed answers 410. Reading a document adds RETRIEVED after any other entry. What is over the quota is
refused, the last word excepted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from agent.daemon.network import Response
from agent.errors import EnvironmentFault

BASE = "https://server/DEFAULT/controller/v1/dev"
QUOTA = json.dumps({"errorCode": "hawkbit.server.error.quota.tooManyEntries"}).encode()


class Desk:
    """A network and a server.

    Attributes:
        entries: what was stored for each action: the execution, and the lines.
        faults: what happens to the next requests: a status that is answered instead; ``down`` (no connection), ``lost``
            (the server has it, the answer does not arrive), ``quota``; None for nothing.
        strike: called when a request arrives, and again when it was carried out.
        refuses: asked for a status to answer to this action and body; 0 takes it.
    """

    def __init__(self, quota: int = 1000) -> None:
        self.entries: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        self.bodies: list[dict[str, Any]] = []
        self.faults: list[int | str | None] = []
        self.strike: Callable[[], None] = lambda: None
        self.refuses: Callable[[str, Mapping[str, Any]], int] = lambda _action, _body: 0
        self.requests = 0
        self._quota = quota

    @contextmanager
    def conversation(self, *, keep: bool = False) -> Iterator[Desk]:
        yield self

    def request(self, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Response:
        assert method == "POST"
        assert (headers or {})["Content-Type"] == "application/json"
        fault = self.faults.pop(0) if self.faults else None
        if fault == "down":
            raise EnvironmentFault("net.connect", "no network")
        self.requests += 1
        self.strike()
        if isinstance(fault, int):
            return Response(fault, {}, b"")
        if fault == "quota":
            return Response(429, {}, QUOTA)
        answer = self._taken(url.removeprefix(BASE).split("/")[2], json.loads(body))
        self.strike()
        if fault == "lost":
            raise EnvironmentFault("net.timeout", "no answer")
        return answer

    def read(self, action: str) -> None:
        """The device reads the document of the action."""
        stored = self.entries.setdefault(action, [])
        if stored[-1:] != [("RETRIEVED", ())]:
            stored.append(("RETRIEVED", ()))

    def closed(self, action: str) -> bool:
        """Whether the action is over."""
        return any(execution == "closed" for execution, _ in self.entries.get(action, []))

    def words(self, action: str) -> list[str]:
        """The lines that were stored, in order."""
        return [line for _, lines in self.entries.get(action, []) for line in lines]

    def _taken(self, action: str, body: dict[str, Any]) -> Response:
        self.bodies.append(body)
        if (status := self.refuses(action, body)) != 0:
            return Response(status, {}, b"")
        stored = self.entries.setdefault(action, [])
        if self.closed(action):
            return Response(410, {}, b"")
        execution = body["status"]["execution"]
        if execution != "closed" and len(stored) >= self._quota:
            return Response(429, {}, QUOTA)
        stored.append((execution, tuple(body["status"]["details"])))
        return Response(200, {}, b"")
