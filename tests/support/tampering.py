"""Bundles that no honest tool makes: taken apart, changed, and put together again."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from pki.build import Identity, pem


@dataclass(frozen=True)
class Parts:
    """A bundle in two pieces; the payload includes the hash tree."""

    payload: bytes
    cms: bytes

    def joined(self) -> bytes:
        """The bytes of a bundle made of these pieces."""
        return self.payload + self.cms + len(self.cms).to_bytes(8, "big")


def parts_of(bundle: Path) -> Parts:
    """Takes a well-formed bundle apart."""
    data = bundle.read_bytes()
    length = int.from_bytes(data[-8:], "big")
    return Parts(data[: -8 - length], data[-8 - length : -8])


def flipped(data: bytes, position: int, mask: int = 0x01) -> bytes:
    """The same bytes with one of them changed; negative positions count from the end."""
    changed = bytearray(data)
    changed[position] ^= mask
    return bytes(changed)


def openssl_cms(
    data: bytes,
    *signers: Identity,
    detached: bool = False,
    options: tuple[str, ...] = ("-md", "sha256"),
    key_options: tuple[str, ...] = (),
) -> bytes:
    """Signs with ``openssl cms``, which also makes the signatures that ``cryptography`` refuses to make."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "data").write_bytes(data)
        argv: list[object] = ["openssl", "cms", "-sign", "-binary", "-nosmimecap", "-outform", "DER"]
        argv += ["-in", folder / "data", *options]
        argv += [] if detached else ["-nodetach"]
        extra: list[x509.Certificate] = []
        for signer in signers:
            certificate, key = signer.write(folder)
            argv += ["-signer", certificate, "-inkey", key]
            for option in key_options:
                argv += ["-keyopt", option]
            extra += signer.intermediates
        if extra:
            (folder / "extra.pem").write_bytes(b"".join(map(pem, extra)))
            argv += ["-certfile", folder / "extra.pem"]
        return subprocess.run(list(map(str, argv)), capture_output=True, check=True).stdout
