"""The keyring of a device: certificates and CRLs in PEM, in one file, in a directory as of ``openssl rehash``, or in both.

Nothing in it is skipped: an entry that cannot be read or understood is an error, because the one that was left out may be
the CRL that mattered.
"""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from cryptography import x509

from agent.bundle.purpose import CheckPurpose
from agent.bundle.revocation import parse_crl_fully
from agent.bundle.strength import parse_fully
from agent.bundle.trust import TrustPolicy
from agent.errors import ConfigError

MAX_SIZE = 4 * 1024 * 1024  # bytes of everything; the keyring is ours, but a wrong path must not fill the memory
MAX_ENTRIES = 1024  # certificates and CRLs

# openssl-rehash(1): the hash of a name and a number, with an "r" for CRLs
_REHASHED = re.compile(r"[0-9a-f]{8}\.(r?)[0-9]{1,4}")
# RFC 7468: no hyphen inside of a block, so that a missing end costs no second look at the rest
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----\s[^-]*-----END \1-----")

_CERTIFICATE = "CERTIFICATE"
_CRL = "X509 CRL"

PathLike = str | os.PathLike[str]
_T = TypeVar("_T")


def load_keyring(
    path: PathLike | None = None,
    check_purpose: CheckPurpose = "codesign",
    *,
    directory: PathLike | None = None,
    check_crl: bool = False,
    allow_partial_chain: bool = False,
    allowed_signer_cns: Iterable[str] = (),
) -> TrustPolicy:
    """Reads whom to trust.

    Args:
        path: PEM file of certificates and CRLs.
        check_purpose: see ``TrustPolicy``, as the arguments below.
        directory: directory with entries ``HASH.N`` (certificates) and ``HASH.rN`` (CRLs); other names are not entries.
        check_crl: refuse what the CRLs name, and what they cannot judge.
        allow_partial_chain: make every certificate an anchor.
        allowed_signer_cns: common names that the signer may have; empty: any.

    Raises:
        ConfigError: ``trust.keyring-missing``, ``trust.keyring-invalid``, ``trust.no-anchor``,
            ``trust.purpose-unknown``.
    """
    sources = [
        *([] if path is None else [(Path(path), "")]),
        *([] if directory is None else _rehashed(Path(directory))),
    ]
    if not sources:
        raise _invalid("neither a file nor a directory is named")
    certificates: list[x509.Certificate] = []
    crls: list[x509.CertificateRevocationList] = []
    left = MAX_SIZE
    for source, kind in sources:
        data = _read(source, left)
        left -= len(data)
        for label, block in _blocks(source, data):
            if kind not in ("", label):
                raise _invalid(f"{source}: it holds a {label}, but its name says that it is a {kind}")
            if label == _CRL:
                crls.append(_parsed(source, block, _crl))
            else:
                certificates.append(_parsed(source, block, _certificate))
            if len(certificates) + len(crls) > MAX_ENTRIES:
                raise _invalid(f"it has more than {MAX_ENTRIES} entries")
    return TrustPolicy.of(
        certificates,
        check_purpose,
        crls=crls,
        check_crl=check_crl,
        allow_partial_chain=allow_partial_chain,
        allowed_signer_cns=allowed_signer_cns,
    )


def _rehashed(directory: Path) -> list[tuple[Path, str]]:
    """The entries of a directory, and what each must hold."""
    try:
        names = sorted(name for name in os.listdir(directory) if _REHASHED.fullmatch(name))
    except OSError as error:
        raise _missing(error) from error
    if not names:
        raise _invalid(f"{directory}: it has no entry such as 1a2b3c4d.0; 'openssl rehash {directory}' makes them")
    if len(names) > MAX_ENTRIES:
        raise _invalid(f"{directory}: it has {len(names)} entries, more than {MAX_ENTRIES}")
    return [(directory / name, _CRL if ".r" in name else _CERTIFICATE) for name in names]


def _read(path: Path, left: int) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not keep us waiting
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise _invalid(f"{path}: it is no regular file")
            data = file.read(left + 1)
    except OSError as error:
        raise _missing(error) from error
    if len(data) > left:
        raise _invalid(f"{path}: the keyring has more than {MAX_SIZE} bytes")
    return data


def _blocks(path: Path, data: bytes) -> Iterator[tuple[str, bytes]]:
    """The PEM blocks of a file; text around them is allowed (RFC 7468 section 2), a broken block is not."""
    found = list(_BLOCK.finditer(data))
    if not found:
        raise _invalid(f"{path}: it holds no certificate and no CRL in PEM")
    if len(found) != data.count(b"-----BEGIN ") or len(found) != data.count(b"-----END "):
        raise _invalid(f"{path}: a PEM block in it is not complete")
    for each in found:
        label = each[1].decode("ascii")
        if label not in (_CERTIFICATE, _CRL):
            raise _invalid(f"{path}: it holds a {label}, which does not belong into a keyring")
        yield label, each[0] + b"\n"


def _parsed(path: Path, block: bytes, parse: Callable[[bytes], _T]) -> _T:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what the library only warns about (RFC 5280) is refused here
            return parse(block)
    except Exception as error:  # the library raises anything on malformed entries
        raise _invalid(f"{path}: {type(error).__name__}: {error}") from error


def _certificate(block: bytes) -> x509.Certificate:
    return parse_fully(x509.load_pem_x509_certificate(block))


def _crl(block: bytes) -> x509.CertificateRevocationList:
    return parse_crl_fully(x509.load_pem_x509_crl(block))


def _missing(error: OSError) -> ConfigError:
    return ConfigError(
        "trust.keyring-missing",
        "the keyring cannot be read",
        details=str(error),
        resolution="name the PEM file, or the directory, that holds the trusted root certificate",
    )


def _invalid(details: str) -> ConfigError:
    return ConfigError(
        "trust.keyring-invalid",
        "the keyring does not hold what it must: certificates and CRLs in PEM",
        details=details[:400],
        resolution="put the trusted root certificate into it, and only certificates and CRLs",
    )
