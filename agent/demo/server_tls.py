"""Certificates for the development server: throwaway authorities, and certificates of servers and devices below them."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)
NAMES = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Tls:
    """The three files: the authority to trust, the certificate, its private key."""

    ca: Path
    cert: Path
    key: Path

    @property
    def ca_pem(self) -> str:
        """The authority's certificate as text."""
        return self.ca.read_text("ascii")


class Authority:
    """Issues certificates; its own key exists only in memory.

    Args:
        directory: where ``ca.pem`` and what is issued go; made if needed.
        name: its common name.
        begin: when it begins to be valid; yesterday without.
        end: until when it is valid; in ten years without.
    """

    def __init__(
        self,
        directory: Path,
        name: str = "ota-agent development authority",
        begin: datetime.datetime | None = None,
        end: datetime.datetime | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        self._directory = directory
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = _authority(self._key, self._name, begin or now - _DAY, end or now + 3652 * _DAY)
        self.ca = directory / "ca.pem"
        self.ca.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def issuer_hash(self) -> str:
        """What ``openssl x509 -issuer_hash`` says of the certificates that it issues."""
        return name_hash(self._name)

    def for_server(
        self, names: Sequence[str] = NAMES, *, days: int = 365, started: int = 1, file: str = "server"
    ) -> Tls:
        """A server's certificate in ``<file>.pem`` and ``<file>.key``; see ``make_tls`` for the rest."""
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        return self._issue(names[0], ExtendedKeyUsageOID.SERVER_AUTH, alternatives, days, started, file)

    def for_device(self, controller_id: str, *, days: int = 365) -> Tls:
        """A device's certificate, whose common name is the controller id."""
        alternatives = x509.SubjectAlternativeName([x509.DNSName("device.invalid")])
        return self._issue(controller_id, ExtendedKeyUsageOID.CLIENT_AUTH, alternatives, days, 1, controller_id)

    def _issue(
        self,
        name: str,
        usage: x509.ObjectIdentifier,
        alternatives: x509.SubjectAlternativeName,
        days: int,
        started: int,
        file: str,
    ) -> Tls:
        begin, end = _span(self._now, days, started)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = self._key.public_key()
        certificate = (
            _builder(subject, self._name, key.public_key(), begin, end)
            .add_extension(alternatives, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        tls = Tls(self.ca, self._directory / f"{file}.pem", self._directory / f"{file}.key")
        tls.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        _write_secret(
            tls.key,
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )
        return tls


def make_tls(directory: Path, names: Sequence[str] = NAMES, *, days: int = 365, started: int = 1) -> Tls:
    """Writes ``ca.pem``, ``server.pem`` and ``server.key`` into ``directory``.

    Args:
        directory: made if needed. Every call makes a new authority, so a second directory holds one that nobody trusts.
        names: host names and addresses that the certificate is for.
        days: how long it is valid from now; negative makes an expired one.
        started: how many days ago its validity began; negative makes one that is not valid yet.
    """
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    begin, end = _span(now, days, started)
    authority = Authority(directory, begin=min(begin, now - _DAY), end=max(end, now + _DAY))
    return authority.for_server(names, days=days, started=started)


def make_variants(directory: Path, names: Sequence[str] = NAMES) -> dict[str, Tls]:
    """A good certificate and bad ones, all of one authority but the last: what a server can be told to present."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    authority = Authority(directory, begin=now - 10 * _DAY)
    return {
        "good": authority.for_server(names),
        "expired": authority.for_server(names, days=-1, started=9, file="expired"),
        "not-yet-valid": authority.for_server(names, days=9, started=-1, file="not-yet-valid"),
        "wrong-name": authority.for_server(("update.example.org",), file="wrong-name"),
        "untrusted": make_tls(directory / "untrusted", names),
    }


def common_name(certificate: bytes) -> str:
    """The common name in a certificate (DER); empty without one."""
    found = x509.load_der_x509_certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def issuer_hash(certificate: bytes) -> str:
    """What ``openssl x509 -issuer_hash`` says of a certificate (DER)."""
    return name_hash(x509.load_der_x509_certificate(certificate).issuer)


def name_hash(name: x509.Name) -> str:
    """OpenSSL's hash of a name: of its parts as lower case UTF-8 with single spaces (``x509_name_canon``)."""
    encoded = b""
    for part in name.rdns:
        pairs = []
        for attribute in part:
            text = b" ".join(str(attribute.value).encode().split()).lower()  # only ASCII is folded
            pairs.append(_der(0x30, _oid(attribute.oid.dotted_string) + _der(0x0C, text)))
        encoded += _der(0x31, b"".join(sorted(pairs)))
    first = hashlib.sha1(encoded, usedforsecurity=False).digest()[:4]
    return f"{int.from_bytes(first, 'little'):08x}"


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    return _der(0x06, b"".join(_base128(arc) for arc in (first * 40 + second, *rest)))


def _base128(number: int) -> bytes:
    groups: Iterable[int] = (
        number >> shift & 0x7F for shift in range(max(number.bit_length() - 1, 0) // 7 * 7, -1, -7)
    )
    octets = [octet | 0x80 for octet in groups]
    octets[-1] &= 0x7F
    return bytes(octets)


def _span(now: datetime.datetime, days: int, started: int) -> tuple[datetime.datetime, datetime.datetime]:
    begin, end = now - started * _DAY, now + days * _DAY
    return (begin, end) if end > begin else (end - _DAY, end)


def _authority(
    key: ec.EllipticCurvePrivateKey, name: x509.Name, begin: datetime.datetime, end: datetime.datetime
) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _builder(name, name, key.public_key(), begin, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    begin: datetime.datetime,
    end: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_secret(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
