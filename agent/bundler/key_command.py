"""A private key behind a command: a signing service, a smart card tool, a script of the factory.

The command gets the bytes to sign on standard input and writes the signature, and nothing else, to standard output.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from agent.bundler.faults import BuildError
from agent.bundler.signer import HashName

DEFAULT_TIMEOUT = 120.0  # seconds; somebody may have to touch a token
_MAX_SIGNATURE = 4096  # bytes; RSA of 16384 bits makes 2048

VARIABLES = {
    "OTA_BUNDLE_SIGN_ALGORITHM": "rsa-pkcs1v15 or ecdsa, as the certificate's key demands; ECDSA signatures are DER.",
    "OTA_BUNDLE_SIGN_DIGEST": "sha256, sha384 or sha512: hash the bytes on standard input with it.",
    "OTA_BUNDLE_SIGN_CERTIFICATE": "SHA-256 of the signer's certificate, hexadecimal: which key is wanted.",
}


@dataclass(frozen=True, slots=True)
class CommandSigner:
    """See Signer.

    Args:
        certificate: of the signer.
        command: split as a shell would, and run without one.
        timeout: seconds.
    """

    certificate: x509.Certificate
    command: str
    timeout: float = DEFAULT_TIMEOUT

    def sign(self, message: bytes, hash_name: HashName) -> bytes:
        """See Signer; raises BuildError ``sign.command-failed``."""
        is_rsa = isinstance(self.certificate.public_key(), rsa.RSAPublicKey)
        wanted = ("rsa-pkcs1v15" if is_rsa else "ecdsa", hash_name, self.certificate.fingerprint(hashes.SHA256()).hex())
        environment = {**os.environ, **dict(zip(VARIABLES, wanted, strict=True))}
        try:
            done = subprocess.run(
                shlex.split(self.command) or ["(empty)"],
                input=message,
                capture_output=True,
                env=environment,
                timeout=self.timeout,
                check=False,
            )
        except (OSError, ValueError) as error:
            raise self._failed(str(error)) from error
        except subprocess.TimeoutExpired as error:
            raise self._failed(f"it had not ended after {self.timeout:g} seconds", error.stderr) from error
        if done.returncode:
            raise self._failed(f"it ended with status {done.returncode}", done.stderr)
        if not 0 < len(done.stdout) <= _MAX_SIGNATURE:
            raise self._failed(f"it wrote {len(done.stdout)} bytes, which is no signature", done.stderr)
        return done.stdout

    def _failed(self, why: str, said: bytes | None = None) -> BuildError:
        text = (said or b"").decode(errors="replace").strip()[-600:]
        return BuildError(
            "sign.command-failed",
            "the signing command failed",
            details=f"{self.command}: {why}" + (f"; it said: {text}" if text else ""),
            resolution="run it by hand as in: COMMAND <message >signature; it must write the bare signature",
        )
