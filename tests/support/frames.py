"""What the daemon says to the installer with every request, for tests that stand in for the daemon."""

from __future__ import annotations

import time
from pathlib import Path


def common(keyring: Path, **more: object) -> dict[str, object]:
    """A request about a local bundle, with the root certificates in ``keyring`` and no setting beside the defaults."""
    trust: dict[str, object] = {
        "path": str(keyring), "directory": "", "check_purpose": "codesign",
        "check_crl": False, "allow_partial_chain": False, "allowed_signer_cns": [],
    }  # fmt: skip
    return {
        "size": 0, "sha256": "", "spool": "", "trust": trust, "formats": ["verity", "crypt", "plain"],
        "encryption_key": "", "encryption_cert": "", "variant": "", "programs": None, "when": int(time.time()), **more,
    }  # fmt: skip
