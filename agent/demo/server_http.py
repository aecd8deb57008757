"""One HTTP exchange of the development server as values: what was asked, what is answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

JSON = "application/json"
HAL = "application/hal+json"


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked. ``root`` is scheme and authority as the client wrote them; ``upload`` is a large body on disk."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    root: str
    upload: Path | None = None

    def header(self, name: str) -> str:
        """A header by its lower case name, or an empty string."""
        return self.headers.get(name, "")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answers; ``cacheable`` adds an entity tag over the body and honours If-None-Match."""

    status: int = 200
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    cacheable: bool = False


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """A file, or a range of it. ``etag`` is without its quotes."""

    path: Path
    size: int
    etag: str
    filename: str


@dataclass(slots=True)
class Seen:
    """A request as it arrived, for tests to look at; ``status`` and ``sent`` (body bytes) follow when it is answered."""

    method: str
    path: str
    headers: Mapping[str, str]
    status: int = 0
    sent: int = 0


def as_json(value: object, status: int = 200, *, hal: bool = False, cacheable: bool = False) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, json.dumps(value).encode(), HAL if hal else JSON, cacheable=cacheable)


def as_error(status: int, message: str) -> Answer:
    """An error body like hawkBit's; 401 has none."""
    if status == 401:
        return Answer(401)
    return as_json(
        {"exceptionClass": "DevServer", "errorCode": f"hawkbit.server.error.{status}", "message": message}, status
    )
