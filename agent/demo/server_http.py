"""One HTTP exchange of the development server as values: what was asked, what is answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

JSON = "application/json"
HAL = "application/hal+json"
_CODES = {
    400: "hawkbit.server.error.rest.body.notReadable",
    404: "hawkbit.server.error.repo.entityNotFound",
    409: "hawkbit.server.error.repo.entityAlreadyExists",
}


class Peer(NamedTuple):
    """What a client's certificate says, when TLS has checked it."""

    name: str  # the common name
    issuer: str  # the hash of the issuer's name, as ``openssl x509 -issuer_hash`` prints it


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked.

    Args:
        method: in capitals.
        path: without the query.
        query: the last of each name.
        headers: by lower case names.
        body: unless it is large.
        root: scheme and authority as the client wrote them.
        upload: a large body on disk.
        client: the client's address as hawkBit writes it.
        peer: what its certificate says.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    root: str
    upload: Path | None = None
    client: str = ""
    peer: Peer | None = None

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
    """A file, or ranges of it. ``etag`` is without its quotes, ``modified`` in seconds since 1970."""

    path: Path
    size: int
    etag: str
    filename: str
    modified: int = 0


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


def as_error(status: int, message: str, code: str = "") -> Answer:
    """An error body like hawkBit's; 401 and 412 have none."""
    if status in (401, 412):
        return Answer(status)
    code = code or _CODES.get(status, f"hawkbit.server.error.{status}")
    return as_json({"exceptionClass": "DevServer", "errorCode": code, "message": message}, status)
