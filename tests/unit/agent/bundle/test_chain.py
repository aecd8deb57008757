"""Both libraries that build chains give the same verdict, and the agent takes the one that it can."""

from __future__ import annotations

import datetime as dt
import sys

import pytest
from cryptography import x509
from cryptography.x509 import verification
from hypothesis import given, settings
from hypothesis import strategies as st
from pki.build import CA, SPECS, Pki, Spec, replace, shared_pki
from support.bundles import trust_in
from support.judges import libraries

from agent.bundle import chain_openssl, trust
from agent.bundle.chain import ChainQuestion
from agent.bundle.trust import TrustPolicy, check_chain
from agent.errors import BundleError, ConfigError

PKI = shared_pki()
ROOTS = [name for name, spec in SPECS.items() if spec.issuer == name]
AUTHORITIES = [name for name, spec in SPECS.items() if spec.ca]


def verdicts(policy: TrustPolicy, signer: x509.Certificate, sent: list[x509.Certificate], days: float) -> set[str]:
    """The codes that the libraries of this environment lead to; an empty text for a good chain."""
    found = set()
    for library in libraries().values():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trust, "find_chain", library)
            try:
                check_chain(policy, signer, sent, PKI.now + dt.timedelta(days=days))
                found.add("")
            except BundleError as error:
                found.add(error.code)
    return found


@pytest.mark.req("T09")
@settings(max_examples=200)
@given(
    st.sampled_from(sorted(SPECS)),
    st.lists(st.sampled_from(AUTHORITIES), max_size=5, unique=True),
    st.lists(st.sampled_from(sorted(SPECS)), min_size=1, max_size=5, unique=True),
    st.booleans(),
    st.sampled_from(["codesign", "smimesign", "any"]),
    st.sampled_from([0.0, -3.0, -0.5, 6.0, 4000.0]),
)
def test_the_library_makes_no_difference(
    name: str, sent: list[str], keyring: list[str], partial: bool, purpose: str, days: float
) -> None:
    trusted = [PKI.signer(each).certificate for each in [*keyring, "root"]]
    policy = TrustPolicy.of(trusted, purpose, allow_partial_chain=partial)  # type: ignore[arg-type]  one of the three
    signer = PKI.signer(name)
    more = [*signer.intermediates, *(PKI.signer(each).certificate for each in sent)]
    assert len(verdicts(policy, signer.certificate, more, days)) == 1


@pytest.mark.parametrize(
    "keyring", [["under-no-cert-sign"], ["under-no-cert-sign", "root"]], ids=["alone", "with root"]
)
def test_a_signer_in_the_keyring_is_judged_without_its_issuers(keyring: list[str]) -> None:
    signer = PKI.signer("under-no-cert-sign")
    policy = TrustPolicy.of([PKI.signer(each).certificate for each in keyring], "codesign", allow_partial_chain=True)
    assert verdicts(policy, signer.certificate, list(signer.intermediates), 0) == {""}


def test_the_library_is_chosen_by_what_it_can_do() -> None:
    expected = "agent.bundle.chain_x509" if hasattr(verification, "ExtensionPolicy") else "agent.bundle.chain_openssl"
    assert trust.find_chain.__module__ == expected


def test_without_a_library_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "OpenSSL", None)
    with pytest.raises(ConfigError) as caught:
        chain_openssl.find_chain(ChainQuestion(PKI.signer().certificate, (), (PKI.root,), PKI.now))
    assert caught.value.code == "trust.library-missing"
    assert "pyOpenSSL" in caught.value.details
    assert "python3-pyopenssl" in caught.value.resolution


@pytest.mark.req("T16")
def test_a_chain_has_at_most_eight_authorities_between_signer_and_anchor() -> None:
    pki = Pki()
    for depth in range(10):
        pki.issue(f"level-{depth}", replace(CA, issuer=f"level-{depth - 1}" if depth else "root"))
    for depth, expected in ((7, {""}), (8, {"bundle.signature-untrusted"})):
        signer = pki.issue(f"signer-{depth}", Spec(issuer=f"level-{depth}"))
        assert verdicts(trust_in(pki), signer.certificate, list(signer.intermediates), 0) == expected
