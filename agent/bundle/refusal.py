"""Why a chain of certificates was refused, told so that somebody can act on it.

The library that decided says little. This looks at the same certificates again and names the likely reason. It decides
nothing: it runs only after the refusal, and whatever it finds, the bundle stays refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cryptography import x509

from agent.bundle.certificates import issued_by, name_of
from agent.bundle.faults import Rules, faults_of, untrusted
from agent.bundle.strength import HASHES
from agent.errors import BundleError

_MAX_CHECKS = 64  # signatures looked at; enough for every sensible set of certificates
_MAX_PATHS = 8

_Path = tuple[x509.Certificate, ...]


def explain_refusal(
    signer: x509.Certificate, pool: Sequence[x509.Certificate], rules: Rules, message: str
) -> BundleError:
    """Returns the error that says best why ``signer`` was refused.

    Args:
        signer: the certificate of the signer.
        pool: further certificates that the library could use.
        rules: what they had to fulfil, and the anchors.
        message: what the library said.
    """
    complete, longest = _search(signer, pool, rules.anchors)
    if not complete:
        return untrusted(_why_no_path(longest, rules.anchors))
    faults = min((faults_of(path, rules) for path in complete), key=len)
    return faults[0] if faults else untrusted(f"a chain to the keyring exists, but was refused: {message}"[:400])


def _search(
    signer: x509.Certificate, pool: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]
) -> tuple[list[_Path], _Path]:
    """Returns the chains that end in an anchor, and the longest one that does not."""
    if signer in anchors:
        return [(signer,)], (signer,)
    complete: list[_Path] = []
    longest: _Path = (signer,)
    waiting: list[_Path] = [(signer,)]
    checks = _MAX_CHECKS
    while waiting and checks > 0 and len(complete) < _MAX_PATHS:
        path = waiting.pop()
        longest = max(longest, path, key=len)
        for issuer in _candidates(path, [*pool, *anchors]):
            checks -= 1
            if not _issued_by(path[-1], issuer):
                continue
            if issuer in anchors:
                complete.append((*path, issuer))
            else:
                waiting.append((*path, issuer))
    return complete, longest


def _candidates(path: _Path, certificates: Sequence[x509.Certificate]) -> Iterator[x509.Certificate]:
    return (each for each in certificates if each.subject == path[-1].issuer and each not in path)


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    algorithm = certificate.signature_hash_algorithm
    if algorithm is not None and algorithm.name not in HASHES:
        return True  # the library may not even try such a signature; the name is enough for an explanation
    return issued_by(certificate, issuer)


def _why_no_path(path: _Path, anchors: Sequence[x509.Certificate]) -> str:
    top = path[-1]
    wanted = top.issuer.rfc4514_string()
    if top.issuer == top.subject:
        why = f"{name_of(top)} is signed by itself and is not in the keyring"
    elif any(each.subject == top.issuer for each in anchors):
        why = f"{name_of(top)} claims to come from {wanted}, but the trusted certificate of that name did not issue it"
    else:
        why = f"the issuer of {name_of(top)}, {wanted}, is neither in the bundle nor in the keyring"
    trusted = "; ".join(each.subject.rfc4514_string() for each in anchors[:4])
    return f"{why}; trusted: {trusted}"[:600]
