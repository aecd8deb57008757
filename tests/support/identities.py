"""Certificates for devices: a root, an authority below it, and what goes wrong with a device's certificate."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


@dataclass(frozen=True)
class Device:
    """A device's certificate and those between it and the root, and its key, in PEM."""

    leaf: str
    between: str
    key: str

    @property
    def chain(self) -> str:
        return self.leaf + self.between

    @property
    def message(self) -> dict[str, str]:
        """For the ``session`` message of the fetcher."""
        return {"chain": self.chain, "key": self.key}

    def encrypted_key(self, password: bytes) -> str:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        key = load_pem_private_key(self.key.encode(), None)
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)).decode()

    def write(self, directory: Path) -> tuple[Path, Path]:
        """Writes ``device.pem`` and ``device.key``."""
        directory.mkdir(parents=True, exist_ok=True)
        certificate, key = directory / "device.pem", directory / "device.key"
        certificate.write_text(self.chain)
        key.touch(0o600)
        key.write_text(self.key)
        return certificate, key


class Factory:
    """Issues certificates to devices: root -> issuing authority -> device."""

    def __init__(self) -> None:
        self._root_key, self._key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        root = self._certificate(_name("factory root"), self._root_key, _name("factory root"), self._root_key, ca=True)
        between = self._certificate(_name("line 7"), self._key, _name("factory root"), self._root_key, ca=True)
        self.root_pem = root.public_bytes(Encoding.PEM).decode()
        self._between_pem = between.public_bytes(Encoding.PEM).decode()

    def device(self, common: str = "dev1", *, days: float = 300) -> Device:
        """Makes a device; ``days`` is how long its certificate is valid from now on."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self._certificate(_name(common), key, _name("line 7"), self._key, days=days)
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return Device(leaf.public_bytes(Encoding.PEM).decode(), self._between_pem, text)

    @staticmethod
    def _certificate(
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        issuer: x509.Name,
        signer: ec.EllipticCurvePrivateKey,
        *,
        ca: bool = False,
        days: float = 300,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        usage = [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 400 * _DAY)
            .not_valid_after(now + days * _DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
        if not ca:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        return builder.sign(signer, hashes.SHA256())
