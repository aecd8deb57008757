"""Which of the certificates that came with a signature were really issued below our own; the others are left out.

A search for a chain tries every certificate that might have issued the one below. A few certificates that an attacker
made for one name and one key all issue each other, and the search takes minutes (``cryptography`` 45: 9 seconds for
three of them, before anybody is trusted). Asked from the top, each certificate is either ours or is dropped, by keys
that we chose: the work is bounded by the square of the number of certificates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cryptography import x509

from agent.bundle.certificates import issued_by


def issued_below(certificates: Iterable[x509.Certificate], ours: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Returns those of ``certificates`` that one of ``ours`` issued, directly or through others of them.

    Args:
        certificates: as they came; nothing about them is proven, and being returned here proves no more than the issuer.
        ours: the certificates of the keyring.
    """
    found: list[x509.Certificate] = []
    waiting = list(dict.fromkeys(certificates))
    issuers = list(ours)
    while issuers:
        below = [each for each in waiting if any(issued_by(each, issuer) for issuer in issuers)]
        waiting = [each for each in waiting if each not in below]
        found += below
        issuers = below
    return found
