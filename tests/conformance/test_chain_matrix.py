"""Which chains are believed: each case gets the verdict of ``openssl`` and of ``rauc``, or says why not.

The purpose ``codesign`` is RAUC's; openssl is asked the same question without a purpose then, and so are we.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pki.build import shared_pki
from support.bundles import make_bundle
from support.judges import Setting, openssl_accepts, our_verdict, rauc_accepts
from support.tampering import Parts, openssl_cms, parts_of

from agent.bundle.cms import parse_signed_data

PKI = shared_pki()


@dataclass(frozen=True)
class Case:
    """Who signed, under which setting, and our verdict.

    Args:
        signer: a name of ``pki.build.SPECS``.
        code: of our refusal; empty: accepted.
        setting: of the device.
        sent: names of the certificates that the bundle carries beside the signer's; None: its intermediates.
        but: why openssl and rauc accept what we refuse; empty: they give our verdict.
    """

    signer: str
    code: str = ""
    setting: Setting = Setting()  # noqa: RUF009  frozen
    sent: tuple[str, ...] | None = None
    but: str = ""


UNTRUSTED, PURPOSE, WEAK = "bundle.signature-untrusted", "bundle.certificate-purpose", "bundle.signature-weak"
EXPIRED, EARLY = "bundle.certificate-expired", "bundle.certificate-not-yet-valid"
REVOKED, MISSING, INVALID = "bundle.certificate-revoked", "bundle.crl-missing", "bundle.crl-invalid"
RESTRICTED = "bundle.certificate-restricted"

NO_FLOOR = "OpenSSL's default security level has no floor for keys and digests below its own"
NO_NAMES = "name constraints are judged by one of our libraries only, so nobody is believed who has them"
NO_POLICIES = "OpenSSL ignores a critical policy unless it is asked for one; here what is critical must be judged"
PART = "OpenSSL understands CRLs that speak for a part of the certificates or for others; here a CRL must be complete"
ENDLESS = "OpenSSL lets a CRL without nextUpdate count for ever, which RFC 5280 forbids"


def device(*keyring: str, **more: object) -> Setting:
    return Setting(keyring or ("root",), **more)  # type: ignore[arg-type]


def crls(*names: str, keyring: tuple[str, ...] = ("root",), **more: object) -> Setting:
    return Setting(keyring, crls=names, check_crl=True, **more)  # type: ignore[arg-type]


CHAINS: dict[str, Case] = {
    "leaf": Case("good"),
    "intermediate-in-the-bundle": Case("good-intermediate"),
    "intermediate-for-code": Case("good-code-intermediate"),
    "p384": Case("p384"),
    "p521": Case("p521"),
    "rsa2048": Case("rsa2048"),
    "rsa4096-root": Case("good-rsa-root", setting=device("rsa-root")),
    "two-roots-trusted": Case("other", setting=device("root", "other-root")),
    "both-twins-trusted": Case("good", setting=device("evil-root", "root")),
    "other-root": Case("other", UNTRUSTED),
    "same-name-evil-root": Case("evil", UNTRUSTED),
    "evil-root-sent-along": Case("evil", UNTRUSTED, sent=("evil-root",)),
    "own-root-sent-along": Case("good", sent=("root",)),
    "strangers-sent-along": Case("good", sent=("other-root", "intermediate", "good-2")),
    "missing-intermediate": Case("good-intermediate", UNTRUSTED, sent=()),
    "wrong-intermediate": Case("good-intermediate", UNTRUSTED, sent=("code-intermediate",)),
    "intermediate-in-the-keyring": Case("good-intermediate", setting=device("root", "intermediate"), sent=()),
    "only-the-intermediate-trusted": Case("good-intermediate", UNTRUSTED, setting=device("other-root", "intermediate")),
    "only-the-leaf-trusted": Case("good", UNTRUSTED, setting=device("other-root", "good")),
    "self-signed": Case("self-signed", UNTRUSTED),
    "self-signed-and-trusted": Case("self-signed", setting=device("self-signed")),
    "issuer-is-no-authority": Case("under-not-a-ca", UNTRUSTED),
    "issuer-without-constraints": Case("under-no-constraints", UNTRUSTED),
    "issuer-may-not-sign-certificates": Case("under-no-cert-sign", PURPOSE),
    "path-too-long": Case("under-too-deep", UNTRUSTED),
    "unknown-critical": Case("unknown-critical", RESTRICTED),
    "critical-name": Case("critical-name"),
    "name-constraints": Case("under-named-intermediate", RESTRICTED, but=NO_NAMES),
    "critical-policy": Case("under-policy-intermediate", RESTRICTED, but=NO_POLICIES),
    "rsa1024": Case("rsa1024", WEAK, but=NO_FLOOR),
    "rsa1024-intermediate": Case("under-rsa1024-intermediate", WEAK, but=NO_FLOOR),
    "p224": Case("p224", WEAK, but=NO_FLOOR),
    "p224-root": Case("under-weak-root", WEAK, setting=device("weak-root"), but=NO_FLOOR),
    "k256": Case("k256", "bundle.signature-unsupported", but=NO_FLOOR),
    "sha1-leaf": Case("sha1-certificate", WEAK, but=NO_FLOOR),
    "sha1-intermediate": Case("under-sha1-intermediate", WEAK, but=NO_FLOOR),
}

TIMES: dict[str, Case] = {
    "expired": Case("expired", EXPIRED),
    "not-yet-valid": Case("not-yet-valid", EARLY),
    "expired-intermediate": Case("under-expired-intermediate", EXPIRED),
    "future-intermediate": Case("under-future-intermediate", EARLY),
    "expired-root": Case("under-expired-root", EXPIRED, setting=device("expired-root")),
    "expired-but-asked-for-before": Case("expired", setting=device(days=-3)),
    "not-yet-valid-but-asked-for-later": Case("not-yet-valid", setting=device(days=6)),
    "good-but-asked-for-the-last-day": Case("good", setting=device(days=3649)),
    "good-but-asked-for-the-day-after": Case("good", EXPIRED, setting=device(days=3651)),
    "good-but-asked-for-the-day-before": Case("good", EARLY, setting=device(days=-2)),
}

PURPOSES: dict[str, Case] = {
    f"{purpose}-{signer}": Case(signer, "" if signer in believed else PURPOSE, setting=device(purpose=purpose))
    for purpose, believed in {
        "codesign": {"email-and-code", "no-key-usage"},
        "smimesign": {"email", "email-and-code", "no-purpose", "content-commitment", "under-email-intermediate-email"},
        "any": {
            "email", "email-and-code", "no-purpose", "server", "timestamp", "any-purpose", "no-key-usage",
            "no-digital-signature", "content-commitment", "under-email-intermediate", "under-server-intermediate",
        },
    }.items()
    for signer in (
        "email", "email-and-code", "no-purpose", "server", "timestamp", "any-purpose", "no-key-usage",
        "no-digital-signature", "content-commitment", "under-email-intermediate", "under-server-intermediate",
    )
}  # fmt: skip

PARTIAL: dict[str, Case] = {
    "partial-intermediate": Case("good-intermediate", setting=device("intermediate", partial=True)),
    "partial-leaf": Case("good", setting=device("good", partial=True)),
    "partial-other-leaf": Case("good", UNTRUSTED, setting=device("good-2", partial=True)),
    "partial-other-intermediate": Case(
        "good-intermediate", UNTRUSTED, setting=device("code-intermediate", partial=True)
    ),
    "partial-root": Case("good-intermediate", setting=device("root", partial=True)),
    "partial-expired-intermediate": Case(
        "under-expired-intermediate", EXPIRED, setting=device("expired-intermediate", partial=True)
    ),
    "partial-expired-leaf": Case("expired", EXPIRED, setting=device("expired", partial=True)),
    "partial-wrong-purpose": Case("server", PURPOSE, setting=device("server", partial=True)),
    "partial-no-authority": Case("under-not-a-ca", UNTRUSTED, setting=device("not-a-ca", partial=True)),
}

REVOCATION: dict[str, Case] = {
    "revoked-but-not-asked": Case("good", setting=device(crls=("root-revokes-good",))),
    "not-revoked": Case("good", setting=crls("root")),
    "others-revoked": Case("good", setting=crls("root-revokes-other-serials")),
    "intermediate-not-revoked": Case("good-intermediate", setting=crls("root", "intermediate")),
    "revoked": Case("good", REVOKED, setting=crls("root-revokes-good")),
    "revoked-with-reason": Case("good", REVOKED, setting=crls("root-with-reason")),
    "intermediate-revoked": Case(
        "good-intermediate", REVOKED, setting=crls("root-revokes-intermediate", "intermediate")
    ),
    "leaf-revoked-by-intermediate": Case("good-intermediate", REVOKED, setting=crls("root", "intermediate-revokes")),
    "root-revoked-by-itself": Case("good", REVOKED, setting=crls("root-revokes-root")),
    "no-crl": Case("good", MISSING, setting=crls()),
    "no-crl-of-the-intermediate": Case("good-intermediate", MISSING, setting=crls("root")),
    "no-crl-of-the-root": Case("good-intermediate", MISSING, setting=crls("intermediate")),
    "crl-of-another": Case("good", MISSING, setting=crls("other-root")),
    "crl-of-the-evil-twin": Case("good", MISSING, setting=crls("evil-root")),
    "crls-of-both-twins": Case("good", setting=crls("evil-root", "root")),
    "crl-expired": Case("good", "bundle.crl-expired", setting=crls("root-expired")),
    "crl-of-the-intermediate-expired": Case(
        "good-intermediate", "bundle.crl-expired", setting=crls("root", "intermediate-expired")
    ),
    "crl-expired-and-revoking": Case("good", "bundle.crl-expired", setting=crls("root-expired-revokes-good")),
    "crl-expired-later": Case("good", "bundle.crl-expired", setting=crls("root", days=31)),
    "crl-not-yet-valid": Case("good", "bundle.crl-not-yet-valid", setting=crls("root-future")),
    "crl-valid-later": Case("good", setting=crls("root-future", days=6)),
    "crl-expired-beside-a-current-one": Case("good", setting=crls("root-expired-revokes-good", "root")),
    "crl-released-later": Case("good", setting=crls("root-revokes-good", "root-released-later")),
    "crl-revokes-later": Case("good", REVOKED, setting=crls("root-revokes-good-later", "root")),
    "crl-forged": Case("good", INVALID, setting=crls("root-forged")),
    "crl-forged-and-newer": Case("good", INVALID, setting=crls("root", "root-forged-later")),
    "crl-without-key-identifier": Case("good", setting=crls("root-without-key-identifier")),
    "crl-without-next-update": Case("good", INVALID, setting=crls("root-without-next-update"), but=ENDLESS),
    "crl-sha224": Case("good", INVALID, setting=crls("root-sha224"), but=NO_FLOOR),
    "crl-unknown-critical": Case("good", INVALID, setting=crls("root-unknown-critical")),
    "crl-unknown": Case("good", setting=crls("root-unknown")),
    "crl-delta": Case("good", INVALID, setting=crls("root-delta")),
    "crl-indirect": Case("good", INVALID, setting=crls("root-indirect"), but=PART),
    "crl-only-users": Case("good", INVALID, setting=crls("root-only-users")),
    "crl-only-authorities": Case("good", INVALID, setting=crls("root-only-authorities")),
    "crl-of-a-part": Case("good", INVALID, setting=crls("root-part")),
    "issuer-may-not-sign-crls": Case("under-no-crl-sign", INVALID, setting=crls("root", "no-crl-sign")),
    "pinned-root-not-revoked": Case("good", setting=crls("root", partial=True)),
    "pinned-intermediate-and-its-crl": Case(
        "good-intermediate", MISSING, setting=crls("intermediate", keyring=("intermediate",), partial=True)
    ),
    "pinned-leaf-without-crl": Case("good", MISSING, setting=crls(keyring=("good",), partial=True)),
}

CASES = {**CHAINS, **TIMES, **PURPOSES, **PARTIAL, **REVOCATION}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return parts_of(make_bundle(tmp_path_factory.mktemp("good"), image=b"image" * 1000))


@pytest.mark.req("S04", "S05", "T09")
@pytest.mark.parametrize("name", CASES)
def test_a_chain_gets_the_verdict_of_openssl_and_rauc_unless_a_reason_is_given(
    name: str, parts: Parts, tmp_path: Path
) -> None:
    case = CASES[name]
    signer, text = PKI.signer(case.signer), parse_signed_data(parts.cms).content
    sent = signer.intermediates if case.sent is None else [PKI.signer(each).certificate for each in case.sent]
    assert text is not None
    bundle = tmp_path / "case.raucb"
    bundle.write_bytes(Parts(parts.payload, openssl_cms(text, replace(signer, intermediates=tuple(sent)))).joined())
    keyring = case.setting.write(PKI, tmp_path)
    ours = our_verdict(bundle, keyring, case.setting, PKI)
    without_codesign = case.setting.purpose if case.setting.purpose == "smimesign" else "any"
    plainly = our_verdict(bundle, keyring, case.setting, PKI, without_codesign)
    assert ours == case.code
    theirs = {"openssl": openssl_accepts(bundle, keyring, case.setting, PKI),
              "rauc": rauc_accepts(bundle, keyring, case.setting)}  # fmt: skip
    assert theirs == ({"openssl": True, "rauc": True} if case.but else {"openssl": not plainly, "rauc": not ours})


def test_the_matrix_is_large_enough_to_mean_something() -> None:
    assert len(CASES) >= 80
    assert sum(1 for case in CASES.values() if case.but) <= 15
