"""What a caller of ``InstallBundle`` may ask for beside the bundle. Pure.

RAUC takes options that switch its checks off, from everybody on the device. Here they are refused when they are set, and
let pass when they are not: ``rauc install`` always sends ``ignore-compatible`` as false, rauc-hawkbit-updater
``tls-no-verify``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from agent.errors import PolicyError

_SWITCHES = {
    "ignore-compatible": "a bundle for another kind of device is never installed",
    "ignore-version-limit": "a bundle that is too old is never installed",
    "tls-no-verify": "certificates of servers are always checked",
}
_ACCESS = ("http-headers", "tls-ca", "tls-cert", "tls-key")
_HASH = re.compile(r"[0-9a-f]{64}")
_TRANSACTION = re.compile(r"[!-~]{1,100}")
_URL = re.compile(r"(?i)[a-z][a-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is passed on to the agent.

    Attributes:
        manifest_hash: the only manifest that may be installed, in hexadecimal digits; empty: any.
        transaction: a name for this installation, which the slot status shows; empty: none.
    """

    manifest_hash: str = ""
    transaction: str = ""


def wishes(options: Mapping[str, object]) -> Wishes:
    """Judges the options of ``InstallBundle``.

    Args:
        options: by name, as plain values.

    Raises:
        PolicyError: ``rauc.option-unknown``, ``rauc.option-refused``, ``rauc.option-invalid``.
    """
    for name, value in options.items():
        if name in _SWITCHES and isinstance(value, bool):
            if value:
                raise PolicyError(
                    "rauc.option-refused", f"{name} does not exist here", details=_SWITCHES[name],
                    resolution="deploy a bundle that is made for this device",
                )  # fmt: skip
        elif name in _ACCESS:
            raise PolicyError(
                "rauc.option-refused", f"{name} is not taken from a caller",
                details="only files are installed on request; credentials are set in the agent's configuration",
                resolution="fetch the bundle first, and install the file",
            )  # fmt: skip
        elif name not in ("require-manifest-hash", "transaction-id") or not isinstance(value, str):
            raise PolicyError("rauc.option-unknown", f"Unsupported key: {name[:80]}")
    return Wishes(
        _matching(options, "require-manifest-hash", _HASH, "64 hexadecimal digits in lower case"),
        _matching(options, "transaction-id", _TRANSACTION, "1 to 100 printable characters without white space"),
    )


def require_file(source: str) -> str:
    """The path of a bundle; ``file:`` addresses are taken for what they name.

    Raises:
        PolicyError: ``rauc.url``: it lies elsewhere. ``install.path``: it is no absolute path.
    """
    if source.startswith("file:///"):
        from urllib.parse import unquote

        source = unquote(source.removeprefix("file://"))
    if _URL.match(source):
        raise PolicyError(
            "rauc.url", "bundles are installed from files here, not from addresses", details=source[:200],
            resolution="let the agent fetch it from its update server, or fetch it first and install the file "
            "(rauc-hawkbit-updater: stream_bundle=false)",
        )  # fmt: skip
    if not source.startswith("/") or "\0" in source:  # an address may have %00
        raise PolicyError("install.path", "the path of the bundle must be absolute", details=source[:200])
    return source


def _matching(options: Mapping[str, object], name: str, pattern: re.Pattern[str], shape: str) -> str:
    text = str(options.get(name, ""))
    if text and not pattern.fullmatch(text):
        raise PolicyError("rauc.option-invalid", f"{name} must be {shape}", details=text[:120])
    return text
