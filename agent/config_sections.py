"""The smaller sections of the configuration, as values for those who use them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EncryptionSettings:
    """``[encryption]``: how encrypted bundles are opened."""

    key: Path | None
    cert: Path | None


@dataclass(frozen=True, slots=True)
class FetcherSettings:
    """``[fetcher]``: the user that talks to the network, empty to stay the same user; the socket that starts it."""

    user: str
    socket: Path | None


@dataclass(frozen=True, slots=True)
class InstallerSettings:
    """``[installer]``: the socket that starts it."""

    socket: Path | None


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """``[audit]``: the record of what was decided; ``segment_size`` is in bytes."""

    record: bool
    segment_size: int
    segments: int
