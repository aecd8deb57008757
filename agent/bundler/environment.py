"""The environment variables that ``ota-bundle`` reads: one table for the code, the help and the manual page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime

from agent.bundler.faults import BuildError

PASSPHRASE = "OTA_BUNDLE_PASSPHRASE"  # noqa: S105  the name of a variable
PKCS11_MODULE = "OTA_BUNDLE_PKCS11_MODULE"
PKCS11_PIN = "OTA_BUNDLE_PKCS11_PIN"
SOURCE_DATE_EPOCH = "SOURCE_DATE_EPOCH"

VARIABLES: Mapping[str, str] = {
    PASSPHRASE: "The passphrase of an encrypted private key, when --passphrase-file is not given.",
    PKCS11_MODULE: "The PKCS#11 library, when the URI names no module-path. RAUC_PKCS11_MODULE is read after it.",
    PKCS11_PIN: "The PIN of the token, when the URI has neither pin-value nor pin-source. RAUC_PKCS11_PIN is read "
    "after it.",
    SOURCE_DATE_EPOCH: "Seconds since 1970: the time of everything in the bundle (else 0) and of its signature (else "
    "now). See https://reproducible-builds.org/docs/source-date-epoch/.",
}
_ALSO = {PKCS11_MODULE: "RAUC_PKCS11_MODULE", PKCS11_PIN: "RAUC_PKCS11_PIN"}  # scripts made for rauc keep working
_LATEST = 0xFFFFFFFF  # a squashfs keeps times in 32 bits


def variable(name: str) -> str:
    """Returns a variable of the table, or what rauc calls it; empty when neither is set."""
    return os.environ.get(name) or os.environ.get(_ALSO.get(name, ""), "")


def source_date_epoch() -> int | None:
    """Returns ``SOURCE_DATE_EPOCH`` in seconds, or None; raises BuildError ``sign.epoch-invalid``."""
    text = variable(SOURCE_DATE_EPOCH)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text[:20]) <= _LATEST):
        raise BuildError(
            "sign.epoch-invalid",
            "SOURCE_DATE_EPOCH is no time",
            details=f"found {text[:40]!r}; expected seconds since 1970, at most {_LATEST}",
            resolution="set it as in: SOURCE_DATE_EPOCH=$(git log -1 --pretty=%ct), or unset it",
        )
    return int(text)


def signing_time(now: datetime) -> datetime:
    """Returns the time that a signature carries; raises BuildError ``sign.epoch-invalid``."""
    epoch = source_date_epoch()
    return now if epoch is None else datetime.fromtimestamp(epoch, UTC)
