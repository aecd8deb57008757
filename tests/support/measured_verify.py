"""Verifies one bundle and unpacks its images, as a process of its own, to see what that costs.

Prints a JSON object: the code of the refusal or "", the bytes that were read, and the peak resident memory in MiB.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from agent.bundle.source import FileSource
from agent.bundle.trust import TrustPolicy
from agent.bundle.verify import verify_bundle
from agent.bundler.opening import checked
from agent.errors import BundleError
from support.bundles import opened


class CountingSource:
    """A Source that counts the bytes it gives."""

    def __init__(self, source: FileSource) -> None:
        self._source = source
        self.given = 0

    @property
    def size(self) -> int:
        return self._source.size

    def read_at(self, offset: int, length: int) -> bytes:
        self.given += length
        return self._source.read_at(offset, length)

    def stream(self, offset: int, length: int) -> Iterator[bytes]:
        for piece in self._source.stream(offset, length):
            self.given += len(piece)
            yield piece


def main(path: str, keyring: str) -> None:
    code = ""
    trust = TrustPolicy.of(x509.load_pem_x509_certificates(Path(keyring).read_bytes()))
    with opened(Path(path)) as file:
        source = CountingSource(file)
        try:
            bundle = verify_bundle(source, trust, datetime.now(UTC))
            for image in bundle.manifest.images:
                for _ in checked(image, bundle.image_file(image), lambda _what, _done, _total: None):
                    pass
        except BundleError as error:
            code = error.code
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak
    sys.stdout.write(json.dumps({"code": code, "read": source.given, "peak": int(peak[1]) / 1024}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
