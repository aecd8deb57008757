"""A private key in an HSM, a smart card or SoftHSM, through python-pkcs11 (the extra ``pkcs11``).

Signatures use the mechanisms of OpenSSL's own engine and provider, CKM_RSA_PKCS over a DigestInfo and CKM_ECDSA over a
digest, so that a token that serves ``rauc`` serves here.
"""

from __future__ import annotations

import getpass
import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asn1crypto import algos, core
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from agent.bundler.environment import PKCS11_MODULE, PKCS11_PIN, variable
from agent.bundler.faults import BuildError
from agent.bundler.pkcs11_uri import Pkcs11Uri
from agent.bundler.signer import HashName

if TYPE_CHECKING:
    import pkcs11

_MAX_PIN = 1024  # bytes
_MAX_CERTIFICATE = 64 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Pkcs11Signer:
    """See Signer.

    Args:
        certificate: of the signer.
        uri: names the private key.
    """

    certificate: x509.Certificate
    uri: Pkcs11Uri

    def sign(self, message: bytes, hash_name: HashName) -> bytes:
        """See Signer; raises BuildError ``sign.pkcs11-*``."""
        library = _library()
        digest = hashlib.new(hash_name, message).digest()
        with _session(self.uri, needs_pin=True) as session:
            key = _only_object(session, self.uri, library.ObjectClass.PRIVATE_KEY)
            if isinstance(self.certificate.public_key(), rsa.RSAPublicKey):
                return bytes(key.sign(_digest_info(digest, hash_name), mechanism=library.Mechanism.RSA_PKCS))
            from pkcs11.util.ec import encode_ecdsa_signature

            return bytes(encode_ecdsa_signature(key.sign(digest, mechanism=library.Mechanism.ECDSA)))


def load_certificate(uri: Pkcs11Uri) -> x509.Certificate:
    """Reads a certificate from a token; raises BuildError ``sign.pkcs11-*``, ``build.key-unreadable``."""
    library = _library()
    with _session(uri, needs_pin=False) as session:
        data = bytes(_only_object(session, uri, library.ObjectClass.CERTIFICATE)[library.Attribute.VALUE])
    try:
        return x509.load_der_x509_certificate(data[:_MAX_CERTIFICATE])
    except ValueError as error:
        raise BuildError(
            "build.key-unreadable",
            "the certificate cannot be read",
            details=f"{uri.without_secrets}: {error}"[:300],
            resolution="store the certificate in DER on the token, or name a PEM file",
        ) from error


def _library() -> Any:  # noqa: ANN401  the module itself
    try:
        import pkcs11
    except ImportError as error:
        raise BuildError(
            "sign.pkcs11-missing",
            "keys in tokens need the library python-pkcs11",
            details=str(error),
            resolution="install it: pip install 'ota-agent[pkcs11]'",
        ) from error
    return pkcs11


@contextmanager
def _session(uri: Pkcs11Uri, *, needs_pin: bool) -> Iterator[pkcs11.Session]:
    """Opens the token; whatever the token or its library says becomes a BuildError."""
    library = _library()
    path = uri.module_path or variable(PKCS11_MODULE)
    if not path:
        raise _failed(
            uri,
            "no PKCS#11 library is named",
            f"put '?module-path=/usr/lib/...' into the URI, or set {PKCS11_MODULE}",
        )
    try:
        token = _only_token(library.lib(path), uri)
        pin = _pin(uri, token.label) if needs_pin else None
        with token.open(user_pin=pin) as session:
            yield session
    except (library.PinIncorrect, library.PinLenRange, library.PinInvalid) as error:
        raise _failed(
            uri, "the token refused the PIN", "check the PIN; a token locks itself after a few tries"
        ) from error
    except library.PKCS11Error as error:
        raise _failed(uri, f"{type(error).__name__} {error}".strip(), "check the token with: pkcs11-tool -O") from error
    except RuntimeError as error:  # the library could not be loaded
        raise _failed(uri, f"{path}: {error}", "name the library that came with the token") from error


def _only_token(module: Any, uri: Pkcs11Uri) -> pkcs11.Token:  # noqa: ANN401  pkcs11.lib is no type
    library = _library()
    found = [slot.get_token() for slot in module.get_slots(token_present=True)]
    found = [each for each in found if library.TokenFlag.TOKEN_INITIALIZED in each.flags]
    fitting: list[pkcs11.Token] = [each for each in found if _fits(each, uri)]
    if len(fitting) != 1:
        labels = ", ".join(repr(each.label) for each in found) or "none"
        raise _failed(
            uri, f"{len(fitting)} tokens match; there are: {labels}", "name one token, as in 'pkcs11:token=signing'"
        )
    return fitting[0]


def _fits(token: pkcs11.Token, uri: Pkcs11Uri) -> bool:
    wanted = (uri.token, uri.manufacturer, uri.serial, uri.model)
    serial = token.serial.decode(errors="replace") if isinstance(token.serial, bytes) else str(token.serial)
    is_there = (token.label, token.manufacturer_id, serial, token.model)
    return all(not want or want == found.strip() for want, found in zip(wanted, is_there, strict=True))


def _only_object(session: pkcs11.Session, uri: Pkcs11Uri, kind: pkcs11.ObjectClass) -> Any:  # noqa: ANN401  by kind
    library = _library()
    expected = {library.ObjectClass.PRIVATE_KEY: "private", library.ObjectClass.CERTIFICATE: "cert"}[kind]
    if uri.type not in ("", expected):
        raise _failed(uri, f"it names an object of type {uri.type}", f"write type={expected}, or leave it out")
    wanted: dict[pkcs11.Attribute, object] = {library.Attribute.CLASS: kind}
    if uri.object:
        wanted[library.Attribute.LABEL] = uri.object
    if uri.id:
        wanted[library.Attribute.ID] = uri.id
    found = list(session.get_objects(wanted))
    if len(found) != 1:
        raise _failed(
            uri,
            f"{len(found)} objects of type {expected} match",
            "name one, by object=LABEL or id=%01; see them with: pkcs11-tool --login -O",
        )
    return found[0]


def _pin(uri: Pkcs11Uri, label: str) -> str:
    if uri.pin_value:
        return uri.pin_value
    if uri.pin_source:
        path = uri.pin_source.removeprefix("file://").removeprefix("file:")
        try:
            with open(path, "rb") as file:
                return file.readline(_MAX_PIN).rstrip(b"\r\n").decode()
        except (OSError, UnicodeDecodeError) as error:
            raise _failed(uri, f"pin-source: {error}", "name a file that holds the PIN on its first line") from error
    pin = variable(PKCS11_PIN)
    if not pin and sys.stdin.isatty():
        pin = getpass.getpass(f"PIN of the token {label}: ")
    if not pin:
        raise _failed(uri, "there is no PIN", f"set {PKCS11_PIN}, or put '?pin-source=FILE' into the URI")
    return pin


def _digest_info(digest: bytes, hash_name: HashName) -> bytes:
    """RFC 8017 section 9.2: the parameters are NULL, otherwise than in CMS."""
    algorithm = algos.DigestAlgorithm({"algorithm": hash_name, "parameters": core.Null()})
    return bytes(algos.DigestInfo({"digest_algorithm": algorithm, "digest": digest}).dump())


def _failed(uri: Pkcs11Uri, why: str, resolution: str) -> BuildError:
    return BuildError(
        "sign.pkcs11-failed",
        "the token cannot be used",
        details=f"{uri.without_secrets}: {why}"[:500],
        resolution=resolution,
    )
