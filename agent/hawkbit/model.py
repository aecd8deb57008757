"""The DDI documents of hawkBit as frozen values.

Source: the DDI API v1 of Eclipse hawkBit. What a server says here is advice: nothing in it is trusted further than that
a bundle is worth looking at. The bundle's own signature decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal, cast
from urllib.parse import unquote, urlsplit

from agent.errors import OtaError
from agent.hawkbit.document import Object, clean, invalid, load, mapping, needed, objects, size, text

Handling = Literal["skip", "attempt", "forced"]
Window = Literal["available", "unavailable"]

MAX_CHUNKS = 32
MAX_ARTIFACTS = 32
MAX_METADATA = 100
MAX_LINKS = 16
MAX_RELATION = 64
MAX_HREF = 4096  # presigned storage addresses are long, but below this
MAX_METADATA_VALUE = 4096
MAX_HISTORY = 100  # messages; hawkBit never gives more
MAX_ARTIFACT_SIZE = 1 << 40  # 1 TiB; hawkBit's default limit is 1 GiB
_LISTED = 8  # files named in a message
_ACTION_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CLOCK = re.compile(r"([0-9]{1,6}):([0-5]?[0-9]):([0-5]?[0-9])")
_ISO = re.compile(
    r"P(?:([0-9]{1,4})W)?(?:([0-9]{1,6})D)?"
    r"(?:T(?:([0-9]{1,6})H)?(?:([0-9]{1,8})M)?(?:([0-9]{1,10})(?:[.,][0-9]{1,9})?S)?)?"
)
_HASHES = {
    "sha256": re.compile(r"[0-9a-f]{64}"),
    "sha1": re.compile(r"[0-9a-f]{40}"),
    "md5": re.compile(r"[0-9a-f]{32}"),
}


@dataclass(frozen=True, slots=True)
class Link:
    """An address that the server offers, and the action that it is about (empty for ``configData``)."""

    href: str
    action_id: str


@dataclass(frozen=True, slots=True)
class Base:
    """The answer to a poll; ``sleep_seconds`` is None when ``sleep_text`` (as the server wrote it) is not usable."""

    sleep_seconds: int | None = None
    deployment: Link | None = None
    cancel: Link | None = None
    config_data: Link | None = None
    confirmation: Link | None = None
    installed: Link | None = None
    sleep_text: str = ""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file on offer; ``size`` in bytes, hashes in lower case hex, ``links`` by relation in the server's order."""

    filename: str
    size: int
    sha256: str | None
    sha1: str | None
    md5: str | None
    links: Mapping[str, str]

    @property
    def identity(self) -> str:
        """What tells this file from another one of the same name: its best digest, else its name and size."""
        return self.sha256 or self.sha1 or self.md5 or f"{self.filename}:{self.size}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A software module of the deployment."""

    part: str
    name: str
    version: str
    artifacts: tuple[Artifact, ...]
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the server wants installed, and how urgently; ``history`` is what we said about it, the newest first."""

    action_id: str
    download: Handling
    update: Handling
    window: Window | None
    chunks: tuple[Chunk, ...]
    history: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cancel:
    """The server's wish to take ``stop_id`` back; the answer goes to ``action_id``. In hawkBit they are equal."""

    action_id: str
    stop_id: str


def parse_base(data: bytes) -> Base:
    """Reads the controller base resource.

    Raises:
        EnvironmentFault: ``ddi.invalid-document``.
    """
    document = load(data)
    sleep = text(mapping(mapping(document, "config"), "polling"), "sleep", 64) or ""
    links = mapping(document, "_links")
    return Base(
        sleep_seconds=parse_sleep(sleep),
        deployment=_link(links, "deploymentBase"),
        cancel=_link(links, "cancelAction"),
        config_data=_link(links, "configData", about_action=False),
        confirmation=_link(links, "confirmationBase"),
        installed=_link(links, "installedBase"),
        sleep_text=sleep,
    )


def parse_sleep(value: str) -> int | None:
    """Returns seconds from ``HH:MM:SS`` or, since hawkBit 0.10, an ISO 8601 duration; None when it is neither."""
    if found := _CLOCK.fullmatch(value):
        hours, minutes, seconds = (int(part) for part in found.groups())
        return hours * 3600 + minutes * 60 + seconds
    found = _ISO.fullmatch(value)
    if found is None or not any(found.groups()):
        return None
    weights = (604800, 86400, 3600, 60, 1)
    return sum(int(part) * weight for part, weight in zip(found.groups(), weights, strict=True) if part)


def parse_deployment(data: bytes) -> Deployment:
    """Reads a ``deploymentBase``, ``installedBase`` or ``confirmationBase`` document.

    Raises:
        EnvironmentFault: ``ddi.invalid-document``.
    """
    document = load(data)
    action_id = _action_id(document, "id")
    body = mapping(document, "deployment") or mapping(document, "confirmation")
    if not body:
        raise invalid("deployment is missing")
    window = text(body, "maintenanceWindow")
    if window not in (None, "available", "unavailable"):
        raise invalid("maintenanceWindow is neither available nor unavailable")
    return Deployment(
        action_id=action_id,
        download=_handling(body, "download"),
        update=_handling(body, "update"),
        window=cast("Window | None", window),
        chunks=tuple(_chunk(entry) for entry in objects(body, "chunks", MAX_CHUNKS)),
        history=_history(document),
    )


def parse_cancel(data: bytes) -> Cancel:
    """Reads a ``cancelAction`` document.

    Raises:
        EnvironmentFault: ``ddi.invalid-document``.
    """
    document = load(data)
    return Cancel(_action_id(document, "id"), _action_id(mapping(document, "cancelAction"), "stopId"))


def choose_artifact(deployment: Deployment, part: str = "", name: str = "") -> tuple[Chunk, Artifact]:
    """Returns the one bundle of a deployment: the only ``*.raucb`` file, or the only file at all.

    Args:
        deployment: what the server offers.
        part: only files of modules of this type count; empty: of all.
        name: only files whose names match this pattern (``*``, ``?``, ``[...]``) count; empty: all.

    Raises:
        OtaError: ``ddi.unsupported-deployment`` when there is none or more than one; it says what there is.
    """
    there = [(chunk, artifact) for chunk in deployment.chunks for artifact in chunk.artifacts]
    meant = [
        (chunk, artifact)
        for chunk, artifact in there
        if part in ("", chunk.part) and (not name or fnmatchcase(artifact.filename, name))
    ]
    bundles = [pair for pair in meant if pair[1].filename.lower().endswith(".raucb")]
    if len(bundles) == 1:
        return bundles[0]
    if not bundles and len(meant) == 1:
        return meant[0]
    rule = " and ".join([*([f"of type {part}"] if part else []), *([f"named {name}"] if name else [])])
    listed = ", ".join(f"{artifact.filename} ({chunk.part} {chunk.name})" for chunk, artifact in there[:_LISTED])
    raise OtaError(
        "ddi.unsupported-deployment",
        "the deployment does not hold exactly one bundle",
        details=(
            f"{len(deployment.chunks)} modules, {len(there)} files"
            + (f", {len(meant)} of them {rule}" if rule else "")
            + f", {len(bundles)} named *.raucb: {listed or 'nothing'}"
            + (", ..." if len(there) > _LISTED else "")
        ),
        resolution="assign a distribution set with one bundle, or say with server.bundle-part or server.bundle-name "
        "which file it is",
    )


def download_link(artifact: Artifact) -> str:
    """Returns the address to fetch: relation ``download``, then ``download-http``, then any other; https first.

    A hawkBit behind a TLS proxy offers its https address under ``download-http`` only.

    Raises:
        OtaError: ``ddi.unsupported-deployment`` when there is no usable link.
    """
    names = [name for name in artifact.links if not name.startswith("md5sum")]
    names.sort(key=lambda name: {"download": 0, "download-http": 1}.get(name, 2))
    usable = [artifact.links[name] for name in names if _scheme(artifact.links[name]) in ("https", "http", "")]
    usable.sort(key=lambda href: _scheme(href) == "http")
    if not usable:
        raise OtaError(
            "ddi.unsupported-deployment",
            "the deployment's file has no address to download it from",
            details=f"relations: {', '.join(sorted(artifact.links)) or 'none'}"[:300],
            resolution="check the artifact settings of the server",
        )
    return usable[0]


def _scheme(href: str) -> str:
    try:
        return urlsplit(href).scheme.lower()
    except ValueError:
        return "invalid"


def _action_id(parent: Object, key: str) -> str:
    value = parent.get(key)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63:
        return str(value)
    if not isinstance(value, str) or not _ACTION_ID.fullmatch(value) or value in (".", ".."):
        raise invalid(f"{key} is no action id")
    return value


def _history(document: Object) -> tuple[str, ...]:
    """Our own messages; what cannot be used of them is left out, because nothing may fail for want of it."""
    messages = document.get("actionHistory")
    lines = messages.get("messages") if isinstance(messages, dict) else None
    return tuple(line for line in lines[:MAX_HISTORY] if isinstance(line, str)) if isinstance(lines, list) else ()


def _handling(body: Object, key: str) -> Handling:
    value = needed(body, key)
    if value not in ("skip", "attempt", "forced"):
        raise invalid(f"{key} is none of skip, attempt, forced")
    return cast("Handling", value)


def href_of(parent: Object, name: str) -> str | None:
    """The address of a link, as the server wrote it; None when there is no such link.

    Raises:
        EnvironmentFault: ``ddi.invalid-document``.
    """
    entries = objects(parent, name, MAX_LINKS)
    if not entries:
        return None
    href = needed(entries[0], "href", MAX_HREF)
    if " " in href or "\\" in href:
        raise invalid(f"the link {name} is no address")
    return href


def _link(links: Object, name: str, *, about_action: bool = True) -> Link | None:
    href = href_of(links, name)
    if href is None or not about_action:
        return None if href is None else Link(href, "")
    try:
        parts = urlsplit(href).path.split("/")
    except ValueError as error:
        raise invalid(f"the link {name} is no address") from error
    after = parts[parts.index(name) + 1] if name in parts[:-1] else ""
    return Link(href, _action_id({name: unquote(after)}, name))


def _chunk(entry: Object) -> Chunk:
    metadata: dict[str, str] = {}
    for pair in objects(entry, "metadata", MAX_METADATA):
        metadata[needed(pair, "key")] = text(pair, "value", MAX_METADATA_VALUE, lines=True) or ""
    return Chunk(
        part=text(entry, "part") or "",
        name=text(entry, "name") or "",
        version=text(entry, "version") or "",
        artifacts=tuple(_artifact(artifact) for artifact in objects(entry, "artifacts", MAX_ARTIFACTS)),
        metadata=MappingProxyType(metadata),
    )


def _artifact(entry: Object) -> Artifact:
    hashes = mapping(entry, "hashes")
    relations = mapping(entry, "_links")
    if len(relations) > MAX_LINKS:
        raise invalid("an artifact has too many links")
    links: dict[str, str] = {}
    for name in relations:
        href = href_of(relations, clean(name, "a link's name", MAX_RELATION))
        if href is not None:
            links[name] = href
    return Artifact(
        filename=needed(entry, "filename"),
        size=size(entry, "size", MAX_ARTIFACT_SIZE),
        sha256=_hash(hashes, "sha256"),
        sha1=_hash(hashes, "sha1"),
        md5=_hash(hashes, "md5"),
        links=MappingProxyType(links),
    )


def _hash(hashes: Object, name: str) -> str | None:
    value = text(hashes, name, 128)
    if value is None:
        return None
    value = value.lower()
    if not _HASHES[name].fullmatch(value):
        raise invalid(f"{name} is no {name} digest")
    return value
