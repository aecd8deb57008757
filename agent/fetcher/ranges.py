"""Checks that a server's answer to a range request is what was asked for (RFC 9110, section 14)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from agent.errors import EnvironmentFault
from agent.fetcher.failures import http_status

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.IGNORECASE)
_UNSATISFIED = re.compile(r"bytes \*/([0-9]{1,19})", re.IGNORECASE)
RETRIED = (408, 425, 429, 500, 502, 503, 504)


@dataclass(slots=True)
class Version:
    """What the first answers said about the file; later ones must say the same."""

    size: int
    etag: str = ""
    modified: str = ""
    confirmed: bool = False

    def condition(self) -> dict[str, str]:
        """The If-Range header: only a strong entity tag may be used (RFC 9110, section 13.1.5)."""
        return {"If-Range": self.etag} if self.etag.startswith('"') else {}


def expect(version: Version, status: int, headers: Mapping[str, str], first: int, last: int, where: str) -> int:
    """Checks status and headers of the answer to ``Range: bytes=first-last``.

    Args:
        version: what is known about the file; completed here.
        status: of the answer.
        headers: of the answer; names in any case if the mapping allows it.
        first: offset asked for.
        last: the last offset asked for.
        where: the address for error texts.

    Returns:
        How many bytes of the body belong to the range; after them nothing is read.

    Raises:
        EnvironmentFault: ``net.unauthorised``, ``net.not-found``, ``net.http-status``, ``net.range-unsupported``,
            ``net.wrong-length``, ``net.changed``.
    """
    if status == 416:
        found = _UNSATISFIED.fullmatch(headers.get("Content-Range", "").strip())
        raise _wrong_size(version, found[1] if found else "unknown", where)
    if status not in (200, 206):
        raise http_status(status, where)
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _unsupported(where, "the server packs the file on the way")
    count = (
        _whole(version, headers, first, last, where) if status == 200 else _part(version, headers, first, last, where)
    )
    _same_file(version, headers, where)
    return count


def _part(version: Version, headers: Mapping[str, str], first: int, last: int, where: str) -> int:
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if found is None:
        raise _unsupported(where, "206 without a usable Content-Range")
    if found[3] != str(version.size):
        raise _wrong_size(version, found[3], where)
    begin, end = int(found[1]), int(found[2])
    if begin != first or not first <= end <= last:
        raise _unsupported(where, f"bytes {first}-{last} were asked for, {begin}-{end} came")
    count = end - begin + 1
    if headers.get("Content-Length", str(count)) != str(count):
        raise _wrong_length(where, f"a range of {count} bytes has a length of {headers['Content-Length'][:20]}")
    return count


def _whole(version: Version, headers: Mapping[str, str], first: int, last: int, where: str) -> int:
    """A server that knows no ranges sends everything; its beginning is of use."""
    if headers.get("Content-Length", str(version.size)) != str(version.size):
        raise _wrong_size(version, headers["Content-Length"][:20], where)
    if version.condition() and headers.get("ETag", "") != version.etag:
        raise _changed(where)
    if first != 0:
        raise _unsupported(where, "200 was answered to a range request")
    return last - first + 1


def _same_file(version: Version, headers: Mapping[str, str], where: str) -> None:
    etag, modified = headers.get("ETag", "")[:256], headers.get("Last-Modified", "")[:64]
    if version.confirmed and (etag != version.etag or (not etag and modified != version.modified)):
        raise _changed(where)
    version.etag, version.modified, version.confirmed = etag, modified, True


def _wrong_size(version: Version, said: str, where: str) -> EnvironmentFault:
    if said == "*":
        return _unsupported(where, "the server does not say how long the file is")
    if version.confirmed:
        return _changed(where)
    return _wrong_length(where, f"{version.size} bytes were announced, the server has {said}")


def _wrong_length(where: str, details: str) -> EnvironmentFault:
    return EnvironmentFault(
        "net.wrong-length",
        "the file on the server has another length than announced",
        details=f"{where}: {details}",
        resolution="upload the bundle again, or look for a proxy or portal that answers instead of the server",
    )


def _changed(where: str) -> EnvironmentFault:
    return EnvironmentFault(
        "net.changed",
        "the file on the server changed during the download",
        details=where,
        resolution="ask the server again; the transfer must begin anew",
    )


def _unsupported(where: str, details: str) -> EnvironmentFault:
    return EnvironmentFault(
        "net.range-unsupported",
        "the server cannot send parts of a file",
        details=f"{where}: {details}",
        resolution="serve bundles from a server that supports range requests",
        retryable=False,
    )
