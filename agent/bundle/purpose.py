"""What a certificate must be good for, by RAUC's three names: ``codesign``, ``smimesign`` and ``any``.

``codesign`` is RAUC's own rule: the signer must be marked for code signing, its key usage, if it names any, must allow
signatures, and an authority that names purposes must name this one. ``smimesign`` is what OpenSSL asks, and RAUC by
default: nobody needs to name a purpose, but who does must name e-mail protection. ``any`` asks nothing of the signer.
"""

from __future__ import annotations

from typing import Literal

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.bundle.certificates import extension_of

CheckPurpose = Literal["codesign", "smimesign", "any"]

_PURPOSES = {"codesign": ExtendedKeyUsageOID.CODE_SIGNING, "smimesign": ExtendedKeyUsageOID.EMAIL_PROTECTION}
_NAMES = {
    ExtendedKeyUsageOID.CODE_SIGNING: "codeSigning",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "emailProtection",
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.TIME_STAMPING: "timeStamping",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSPSigning",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "anyExtendedKeyUsage",
}


class PurposeRule:
    """The rule behind one ``check_purpose``. Both methods return what is wrong, or an empty text."""

    def __init__(self, check_purpose: CheckPurpose) -> None:
        self._check = check_purpose
        self._purpose = _PURPOSES.get(check_purpose)

    def fault_of_signer(self, certificate: x509.Certificate) -> str:
        """Judges the certificate at the lower end of the chain."""
        if self._purpose is None:
            return ""
        usage = extension_of(certificate, x509.KeyUsage)
        if usage is not None and not self._may_sign(usage):
            return "its key usage lacks digitalSignature"
        named = extension_of(certificate, x509.ExtendedKeyUsage)
        if named is None and self._check == "codesign":
            return "it names no extended key usage, and codeSigning is needed"
        return self._fault_of_names(named)

    def fault_of_authority(self, certificate: x509.Certificate) -> str:
        """Judges any certificate above it."""
        usage = extension_of(certificate, x509.KeyUsage)
        if usage is not None and not usage.key_cert_sign:  # RFC 5280 section 4.2.1.3
            return "its key usage lacks keyCertSign"
        return self._fault_of_names(extension_of(certificate, x509.ExtendedKeyUsage))

    def _may_sign(self, usage: x509.KeyUsage) -> bool:
        return usage.digital_signature or (self._check == "smimesign" and usage.content_commitment)

    def _fault_of_names(self, named: x509.ExtendedKeyUsage | None) -> str:
        if named is None or self._purpose is None or self._purpose in named:
            return ""
        found = ", ".join(_NAMES.get(each, each.dotted_string) for each in named)
        return f"it is for {found}, and {_NAMES[self._purpose]} is needed"
