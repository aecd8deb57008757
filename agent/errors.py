"""What can go wrong, told the same way everywhere.

Every failure has a stable dotted code (``bundle.signature-untrusted``), a sentence that says what happened, details that
say why, and a resolution that says what to do next. The same four travel over the sockets between our processes, to
D-Bus, the journal, the command line and the server. The classes say whose fault it is, which decides what happens next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Explained(Protocol):
    """The shape of every error here, in ``slots`` and in ``bootloader_env``, which cannot import this module."""

    code: str
    brief: str
    details: str
    resolution: str
    retryable: bool


class OtaError(Exception):
    """A failure that can be explained.

    Args:
        code: stable, dotted, lower case; listed in ``agent/codes.py``.
        brief: one sentence for a person, without a final full stop.
        details: why: the observed facts (sizes, names, the library's message).
        resolution: what the reader can do about it.
        retryable: trying the same again later may succeed; None takes the class's rule.
    """

    retryable_by_default = False

    def __init__(
        self, code: str, brief: str, *, details: str = "", resolution: str = "", retryable: bool | None = None
    ) -> None:
        super().__init__(brief)
        self.code = code
        self.brief = brief
        self.details = details
        self.resolution = resolution
        self.retryable = self.retryable_by_default if retryable is None else retryable

    def __str__(self) -> str:
        text = f"{self.brief}: {self.details}" if self.details else self.brief
        return f"{text} [{self.code}]"


class BundleError(OtaError):
    """The bundle is at fault: refuse it, and do not try the same bytes again."""


class PolicyError(OtaError):
    """The bundle is genuine, but this device must not install it."""


class EnvironmentFault(OtaError):
    """The surroundings are at fault (network, disk, a child that died): worth another try later."""

    retryable_by_default = True


class ConfigError(OtaError):
    """The configuration is at fault: refuse to start rather than guess."""


class RemoteError(OtaError):
    """An error that another process of ours reported; it keeps its code and texts."""


def explain(error: BaseException) -> dict[str, object]:
    """Returns the parts of an error as plain values; an unforeseen exception becomes ``internal.unexpected``."""
    code = getattr(error, "code", None)
    if isinstance(code, str) and hasattr(error, "brief"):
        return {
            "code": code,
            "brief": str(getattr(error, "brief", "")),
            "details": str(getattr(error, "details", "")),
            "resolution": str(getattr(error, "resolution", "")),
            "retryable": bool(getattr(error, "retryable", False)),
        }
    return {
        "code": "internal.unexpected",
        "brief": "an unforeseen error stopped the work",
        "details": f"{type(error).__name__}: {error}"[:500],
        "resolution": "report it with the journal of ota-agent",
        "retryable": True,
    }


def from_explained(parts: Mapping[str, object]) -> RemoteError:
    """Builds the error that ``explain`` took apart in another process."""
    return RemoteError(
        str(parts.get("code", "internal.unexpected"))[:80],
        str(parts.get("brief", ""))[:300],
        details=str(parts.get("details", ""))[:2000],
        resolution=str(parts.get("resolution", ""))[:500],
        retryable=bool(parts.get("retryable", False)),
    )
