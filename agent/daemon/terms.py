"""On what terms somebody on the device wants a bundle to be installed. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from agent.errors import PolicyError

_SHAPES = {"manifest-hash": re.compile(r"[0-9a-f]{64}"), "transaction": re.compile(r"[!-~]{1,100}")}


class Terms(NamedTuple):
    """What was asked for beside the bundle.

    Attributes:
        manifest_hash: the only manifest that may be installed, as hexadecimal digits; empty: any.
        transaction: a name for the installation, shown with the slots; empty: none.
    """

    manifest_hash: str = ""
    transaction: str = ""


def terms_of(options: Mapping[str, object]) -> Terms:
    """Reads the options of ``InstallPath``.

    Raises:
        PolicyError: ``install.option``: there is no such option, or its value cannot be used.
    """
    if strange := set(options) - set(_SHAPES):
        raise no_such_option(strange)
    for name, value in options.items():
        if not isinstance(value, str) or not _SHAPES[name].fullmatch(value):
            raise PolicyError(
                "install.option", "the value of an option cannot be used", details=f"{name}: {value!r:.100}",
                resolution="manifest-hash is 64 hexadecimal digits, transaction at most 100 characters without white space",
            )  # fmt: skip
    return Terms(str(options.get("manifest-hash", "")), str(options.get("transaction", "")))


def no_such_option(names: object) -> PolicyError:
    """The refusal of options that do not exist."""
    listed = ", ".join(sorted(map(str, names))) if isinstance(names, set | Mapping) else str(names)
    return PolicyError(
        "install.option", "there is no such option", details=listed[:200],
        resolution="install without it; what may be installed is configured, not asked for",
    )  # fmt: skip


def require_demanded(demanded: str, manifest_hash: str) -> None:
    """Refuses another manifest than the one that was asked for.

    Args:
        demanded: of ``Terms``.
        manifest_hash: of the bundle.

    Raises:
        PolicyError: ``install.manifest-hash``.
    """
    if demanded and demanded != manifest_hash:
        raise PolicyError(
            "install.manifest-hash", "the bundle is not the one that was asked for",
            details=f"asked for was manifest {demanded[:16]}..., the bundle has {manifest_hash[:16]}...",
            resolution="inspect the bundle again, and ask for what it holds now",
        )  # fmt: skip
