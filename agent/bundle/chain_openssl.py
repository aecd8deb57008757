"""Chains by OpenSSL's X509_STORE through pyOpenSSL, for ``cryptography`` before version 45."""

from __future__ import annotations

from datetime import UTC

from cryptography import x509

from agent.bundle.chain import ChainQuestion, ChainRefusedError
from agent.errors import ConfigError


def find_chain(question: ChainQuestion) -> tuple[x509.Certificate, ...]:
    """Returns the certificates from the signer to an anchor; raises ChainRefusedError, ConfigError."""
    try:
        from OpenSSL import crypto
    except ImportError as error:
        raise ConfigError(
            "trust.library-missing",
            "a library that certificates are checked with is missing",
            details=f"cryptography before 45 needs pyOpenSSL for it: {error}"[:300],
            resolution="install python3-pyopenssl of the same release, or cryptography 45 or newer",
        ) from error
    # A signer that is an anchor is a chain by itself. OpenSSL would go on to its issuers, and refuse because of them.
    pinned = question.signer in question.anchors
    anchors, pool = ((question.signer,), ()) if pinned else (question.anchors, question.pool)
    store = crypto.X509Store()
    # Without the flag OpenSSL believes no certificate that is not self-signed, although it was chosen as an anchor.
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    store.set_time(question.when.astimezone(UTC).replace(tzinfo=None))
    try:
        for anchor in anchors:
            store.add_cert(crypto.X509.from_cryptography(anchor))
        between = [crypto.X509.from_cryptography(each) for each in pool]
        context = crypto.X509StoreContext(store, crypto.X509.from_cryptography(question.signer), between)
        return tuple(each.to_cryptography() for each in context.get_verified_chain())
    except (crypto.X509StoreContextError, crypto.Error) as error:
        raise ChainRefusedError(str(error)) from error
