"""Chains by ``cryptography.x509.verification``; importing this fails before version 45, which has no ``ExtensionPolicy``."""

from __future__ import annotations

from datetime import UTC

from cryptography import x509
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from agent.bundle.chain import MAX_DEPTH, ChainQuestion, ChainRefusedError


def find_chain(question: ChainQuestion) -> tuple[x509.Certificate, ...]:
    """Returns the certificates from the signer to an anchor; raises ChainRefusedError."""
    authority = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    verifier = (
        PolicyBuilder()
        .store(Store(list(question.anchors)))
        .time(question.when.astimezone(UTC).replace(tzinfo=None))
        .max_chain_depth(MAX_DEPTH)
        .extension_policies(ca_policy=authority, ee_policy=ExtensionPolicy.permit_all())
        .build_client_verifier()
    )
    try:
        return tuple(verifier.verify(question.signer, list(question.pool)).chain)
    except VerificationError as error:
        raise ChainRefusedError(str(error)) from error
