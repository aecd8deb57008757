"""The inspector: says what a bundle is, for ``InspectBundle`` and ``Info``; a process that lives for one bundle.

``python3 -I agent/__main__.py inspector [--config FILE]... BUNDLE`` verifies the bundle as the installer would, and prints one
line of JSON: the manifest, or an error. It runs with the privileges of the facade, which are none: a file that others may
not read is not read for them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from agent.bundle.facts import manifest_facts
from agent.bundle.keyring import load_keyring
from agent.bundle.purpose import CheckPurpose
from agent.bundle.source import FileSource
from agent.bundle.verify import verify_bundle
from agent.clock import built, verification_time
from agent.config import Config, load
from agent.errors import BundleError, explain


def main(arguments: Sequence[str]) -> int:
    """Prints what was found; returns 0 also when that is an error."""
    words = list(arguments)
    files: list[Path] = []
    while words[:1] == ["--config"]:
        files.append(Path(words[1]))
        del words[:2]
    if len(words) != 1:
        sys.stderr.write("the inspector is started by ota-agent-rauc.service, with the path of a bundle\n")
        return 2
    try:
        found: dict[str, object] = {"manifest": inspected(words[0], load(files or None, secrets=False))}
    except Exception as error:  # noqa: BLE001 - whatever it is, the facade must be told
        found = {"error": explain(error)}
    sys.stdout.write(f"{json.dumps(found)}\n")
    return 0


def inspected(path: str, config: Config) -> dict[str, object]:
    """What the verified manifest of a bundle says, see ``manifest_facts``.

    Args:
        path: of the bundle.
        config: whom to trust, and which formats are accepted.

    Raises:
        BundleError, ConfigError: see their codes.
    """
    when = verification_time(datetime.now(UTC).timestamp(), 0, built(config.system.clock_epoch))
    fd = _open(path)
    try:
        source = FileSource(fd)
        trust = load_keyring(
            config.keyring.path,
            cast("CheckPurpose", config.keyring.check_purpose),
            directory=config.keyring.directory,
            check_crl=config.keyring.check_crl,
            allow_partial_chain=config.keyring.allow_partial_chain,
            allowed_signer_cns=config.keyring.allowed_signer_cns,
        )
        bundle = verify_bundle(source, trust, datetime.fromtimestamp(when, UTC))
        if bundle.format not in config.bundle.formats:
            raise BundleError("bundle.format-refused", f"{bundle.format} bundles are not accepted here")
        return manifest_facts(bundle.manifest, bundle.size, bundle.manifest_hash)
    finally:
        os.close(fd)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # whoever names a pipe shall not wait for it
    except OSError as error:
        raise BundleError(
            "bundle.not-found", "the bundle cannot be opened", details=str(error),
            resolution="it must be readable for all, or be inspected with ota-bundle info",
        ) from error  # fmt: skip
