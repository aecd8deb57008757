"""The chain: who is believed, for what, and when; and that a refusal names its reason."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from pki.build import CA, SPECS, Pki, Purpose, replace, shared_pki
from pki.crls import crl
from support.bundles import trust_in

from agent.bundle.keyring import load_keyring
from agent.bundle.purpose import CheckPurpose
from agent.bundle.trust import TrustPolicy, check_chain
from agent.errors import BundleError, ConfigError

PKI = shared_pki()

GOOD = ["good", "good-2", "good-intermediate", "good-code-intermediate", "rsa2048", "rsa4096", "p384", "p521"]


def judge(
    name: str, *anchors: str, check_purpose: CheckPurpose = "codesign", days: float = 0, pki: Pki = PKI
) -> tuple[str, str]:
    """The code and the details of the verdict about a signer; empty for a good one."""
    signer = pki.signer(name)
    trust = trust_in(pki, *anchors, check_purpose=check_purpose)
    try:
        check_chain(trust, signer.certificate, signer.intermediates, pki.now + dt.timedelta(days=days))
    except BundleError as error:
        return error.code, error.details
    return "", ""


@pytest.mark.req("T09")
@pytest.mark.parametrize("name", [*GOOD, "email-and-code", "no-key-usage"])
def test_good_signers_are_believed(name: str) -> None:
    assert judge(name) == ("", "")


def test_the_chain_leads_from_the_signer_to_the_anchor() -> None:
    signer = PKI.signer("good-intermediate")
    chain = check_chain(trust_in(PKI), signer.certificate, signer.intermediates, PKI.now)
    assert chain == (signer.certificate, *signer.intermediates, PKI.root)


def test_several_anchors_are_believed_at_once() -> None:
    for name in ("good", "other", "good-rsa-root"):
        assert judge(name, "root", "other-root", "rsa-root")[0] == ""
    assert judge("good-rsa-root")[0] == "bundle.signature-untrusted"


@pytest.mark.req("T09")
@pytest.mark.parametrize(
    ("check_purpose", "believed"),
    [
        ("codesign", {"good", "email-and-code", "no-key-usage"}),
        ("smimesign", {"email", "email-and-code", "no-purpose"}),
        (
            "any",
            {"good", "email-and-code", "no-key-usage", "email", "no-purpose", "server", "timestamp", "any-purpose"}
            | {"no-digital-signature", "under-email-intermediate"},
        ),
    ],
)
def test_the_purposes_are_those_of_rauc(check_purpose: CheckPurpose, believed: set[str]) -> None:
    names = ["good", "email-and-code", "no-key-usage", "email", "no-purpose", "server", "timestamp", "any-purpose"]
    names += ["no-digital-signature", "under-email-intermediate"]
    verdicts = {name: judge(name, check_purpose=check_purpose)[0] for name in names}
    assert {name for name, code in verdicts.items() if not code} == believed
    assert {code for code in verdicts.values() if code} <= {"bundle.certificate-purpose"}


def test_a_purpose_refusal_says_what_was_found_and_what_was_expected() -> None:
    code, details = judge("server")
    assert code == "bundle.certificate-purpose"
    assert "CN=server" in details
    assert "serverAuth" in details
    assert "codeSigning" in details


@pytest.mark.req("S05")
def test_an_authority_of_the_same_name_is_told_apart() -> None:
    code, details = judge("evil")
    assert code == "bundle.signature-untrusted"
    assert "did not issue it" in details


@pytest.mark.req("S05")
@pytest.mark.parametrize(
    ("days", "code"),
    [
        (0, ""),
        (3649, ""),
        (3651, "bundle.certificate-expired"),
        (-0.5, ""),
        (-2, "bundle.certificate-not-yet-valid"),
    ],
)
def test_the_time_of_verification_is_a_parameter(days: float, code: str) -> None:
    assert judge("good", days=days)[0] == code


def test_an_expired_anchor_ends_trust() -> None:
    assert judge("under-expired-root", "expired-root")[0] == "bundle.certificate-expired"


def test_only_a_certificate_from_the_future_is_worth_another_try() -> None:
    signer = PKI.signer("not-yet-valid")
    with pytest.raises(BundleError) as caught:
        check_chain(trust_in(PKI), signer.certificate, (), PKI.now)
    assert caught.value.retryable
    signer = PKI.signer("expired")
    with pytest.raises(BundleError) as caught:
        check_chain(trust_in(PKI), signer.certificate, (), PKI.now)
    assert not caught.value.retryable


def test_a_time_without_a_zone_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="time zone"):
        check_chain(trust_in(PKI), PKI.signer().certificate, (), PKI.now.replace(tzinfo=None))


@pytest.mark.req("T09")
def test_an_intermediate_in_the_keyring_helps_but_is_no_anchor(tmp_path: Path) -> None:
    signer = PKI.signer("good-intermediate")
    both = load_keyring(PKI.keyring(tmp_path, "root", "intermediate"))
    assert (both.anchors, both.intermediates) == ((PKI.root,), (PKI.signer("intermediate").certificate,))
    assert len(check_chain(both, signer.certificate, (), PKI.now)) == 3
    with pytest.raises(BundleError) as caught:
        check_chain(trust_in(PKI), signer.certificate, (), PKI.now)
    assert caught.value.code == "bundle.signature-untrusted"
    assert "CN=intermediate" in caught.value.details
    with pytest.raises(ConfigError) as refused:
        load_keyring(PKI.keyring(tmp_path, "intermediate"))
    assert refused.value.code == "trust.no-anchor"


def test_a_self_signed_signer_in_the_keyring_is_its_own_anchor() -> None:
    """As in RAUC; for trying things out, not for a product."""
    assert judge("self-signed", "self-signed") == ("", "")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "trust.keyring-missing"),
        (b"", "trust.keyring-invalid"),
        (b"no certificates", "trust.keyring-invalid"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "trust.keyring-invalid"),
        (b"x" * (4 * 1024 * 1024 + 1), "trust.keyring-invalid"),
    ],
)
def test_an_unusable_keyring_is_an_error_of_the_configuration(content: bytes | None, code: str, tmp_path: Path) -> None:
    path = tmp_path / "keyring.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_keyring(path)
    assert caught.value.code == code


def test_an_unknown_purpose_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigError) as caught:
        TrustPolicy((PKI.root,), "sslserver")  # type: ignore[arg-type]  what a configuration file may say
    assert caught.value.code == "trust.purpose-unknown"


@pytest.mark.req("T09")
def test_weak_authorities_are_refused_even_when_they_are_trusted() -> None:
    pki = Pki()
    pki.issue("weak-root", replace(CA, issuer="weak-root", key="p224"))
    pki.issue("under-weak-root", replace(SPECS["good"], issuer="weak-root"))
    assert judge("under-weak-root", "weak-root", pki=pki)[0] == "bundle.signature-weak"


@pytest.mark.req("T16")
def test_many_authorities_of_one_name_do_not_take_for_ever() -> None:
    pki = Pki()
    twins = [pki.issue(f"twin-{n}", replace(CA, common_name="twin")).certificate for n in range(15)]
    lost = pki.issue("lost", replace(SPECS["good"], issuer="twin-3", purposes=(Purpose.SERVER_AUTH,)))
    with pytest.raises(BundleError) as caught:
        check_chain(trust_in(pki), lost.certificate, twins, pki.now)
    assert caught.value.code == "bundle.certificate-purpose"


def named(*names: str) -> str:
    """The verdict about a signer with these common names, where ``signer-7`` and ``a`` are allowed."""
    pki = Pki()
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names]
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"), *attributes])
    signer = pki.issue("signer", replace(SPECS["good"], subject=subject))
    try:
        check_chain(TrustPolicy.of([pki.root], allowed_signer_cns=["signer-7", "a"]), signer.certificate, (), pki.now)
    except BundleError as error:
        return error.code
    return ""


@pytest.mark.req("T09")
def test_only_a_signer_with_an_allowed_common_name_is_believed() -> None:
    assert named("signer-7") == named("a") == ""
    for names in (("signer-8",), ("signer-7 ",), ("SIGNER-7",), ("signer",), ("signer-7\0.evil",), ()):
        assert named(*names) == "bundle.signer-not-allowed", names


def test_several_common_names_are_refused_even_if_one_is_allowed() -> None:
    assert named("signer-7", "evil") == named("signer-7", "a") == "bundle.signer-not-allowed"


@pytest.mark.req("T09")
def test_the_name_is_asked_only_of_a_signer_who_is_trusted_anyway() -> None:
    trust = TrustPolicy.of([PKI.root], allowed_signer_cns=["other"])
    with pytest.raises(BundleError) as caught:
        check_chain(trust, PKI.signer("other").certificate, (), PKI.now)
    assert caught.value.code == "bundle.signature-untrusted"


def test_a_refusal_by_a_crl_says_who_took_back_what_and_why() -> None:
    trust = TrustPolicy.of([PKI.root], crls=[crl(PKI, "root-with-reason")], check_crl=True)
    with pytest.raises(BundleError) as caught:
        check_chain(trust, PKI.signer().certificate, (), PKI.now)
    assert "CN=good" in caught.value.details
    assert "CN=root" in caught.value.details
    assert "keyCompromise" in caught.value.details


def test_only_a_crl_from_the_future_is_worth_another_try() -> None:
    for name, retryable in (("root-future", True), ("root-expired", False), ("root-forged", False)):
        trust = TrustPolicy.of([PKI.root], crls=[crl(PKI, name)], check_crl=True)
        with pytest.raises(BundleError) as caught:
            check_chain(trust, PKI.signer().certificate, (), PKI.now)
        assert caught.value.retryable is retryable
