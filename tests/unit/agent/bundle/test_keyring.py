"""The keyring: one file, a directory, or both; every entry counts, and none is skipped."""

from __future__ import annotations

import base64
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pki.build import pem, shared_pki
from pki.crls import CRLS, crl, crl_pem
from support.tampering import flipped

from agent.bundle import keyring
from agent.bundle.keyring import load_keyring
from agent.bundle.trust import check_chain
from agent.codes import CODES
from agent.errors import BundleError, ConfigError

PKI = shared_pki()
ROOT, INTERMEDIATE = PKI.root, PKI.signer("intermediate").certificate


def refused(*args: object, **options: object) -> str:
    """The code and details of the refusal of a keyring."""
    with pytest.raises(ConfigError) as caught:
        load_keyring(*args, **options)  # type: ignore[arg-type]
    return str(caught.value)


def rehashed(directory: Path, **files: bytes) -> Path:
    """A directory with these files and the links that ``openssl rehash`` makes for them."""
    directory.mkdir()
    for name, data in files.items():
        (directory / f"{name}.pem").write_bytes(data)
    subprocess.run(["openssl", "rehash", str(directory)], check=True, capture_output=True)
    return directory


def test_a_file_holds_certificates_and_crls_in_any_order_with_text_between(tmp_path: Path) -> None:
    path = tmp_path / "keyring.pem"
    path.write_bytes(
        b"the CRL\n"
        + crl_pem(PKI, "root")
        + b"\r\nRoot\n"
        + pem(ROOT)
        + crl_pem(PKI, "intermediate")
        + pem(INTERMEDIATE)
    )
    trust = load_keyring(path)
    assert (trust.anchors, trust.intermediates) == ((ROOT,), (INTERMEDIATE,))
    assert trust.crls == (crl(PKI, "root"), crl(PKI, "intermediate"))


def test_a_directory_of_openssl_rehash_is_read_whole(tmp_path: Path) -> None:
    files = {"root": pem(ROOT), "twin": pem(PKI.signer("evil-root").certificate), "crl": crl_pem(PKI, "root")}
    directory = rehashed(tmp_path / "trusted", **files, twin_crl=crl_pem(PKI, "evil-root"))
    (directory / "README").write_text("no entry")
    trust = load_keyring(directory=directory)
    assert {each.subject for each in trust.anchors} == {ROOT.subject}
    assert (len(trust.anchors), len(trust.crls)) == (2, 2)


def test_an_entry_behind_a_gap_counts(tmp_path: Path) -> None:
    """OpenSSL stops at the first missing number."""
    directory = rehashed(tmp_path / "trusted", root=pem(ROOT))
    (entry,) = directory.glob("*.0")
    (directory / f"{entry.stem}.7").write_bytes(pem(PKI.signer("evil-root").certificate))
    assert len(load_keyring(directory=directory).anchors) == 2


def test_file_and_directory_add_up(tmp_path: Path) -> None:
    directory = rehashed(tmp_path / "trusted", crl=crl_pem(PKI, "root"))
    trust = load_keyring(PKI.keyring(tmp_path), directory=directory, check_crl=True)
    assert (trust.anchors, trust.crls, trust.check_crl) == ((ROOT,), (crl(PKI, "root"),), True)


def test_crls_that_nobody_looks_at_are_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "keyring.pem"
    path.write_bytes(pem(ROOT) + crl_pem(PKI, "root"))
    assert "check-crl" in load_keyring(path).warnings()[0]
    assert load_keyring(path, check_crl=True).warnings() == ()
    assert load_keyring(PKI.keyring(tmp_path)).warnings() == ()


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("0a1b2c3d.0", None, "missing"),
        ("0a1b2c3d.0", b"no PEM", "no certificate and no CRL"),
        ("0a1b2c3d.0", crl_pem(PKI, "root"), "holds a X509 CRL"),
        ("0a1b2c3d.r0", pem(ROOT), "holds a CERTIFICATE"),
        ("0a1b2c3d.r0", crl_pem(PKI, "root")[:-30], "no certificate and no CRL"),
        ("0a1b2c3d.r1", crl_pem(PKI, "root").replace(b"M", b"N", 1), "ValueError"),
    ],
)
def test_a_broken_entry_of_a_directory_is_never_skipped(
    name: str, data: bytes | None, why: str, tmp_path: Path
) -> None:
    directory = rehashed(tmp_path / "trusted", root=pem(ROOT))
    if data is None:
        (directory / name).symlink_to("nowhere")
    else:
        (directory / name).write_bytes(data)
    details = refused(directory=directory)
    assert f"{directory}/{name}" in details and why in details


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (pem(ROOT) + b"-----BEGIN CERTIFICATE-----\n", "not complete"),
        (pem(ROOT) + b"-----END X509 CRL-----\n", "not complete"),
        (pem(ROOT) + crl_pem(PKI, "root")[:-20], "not complete"),
        (pem(ROOT).replace(b"CERTIFICATE", b"PRIVATE KEY"), "PRIVATE KEY, which does not belong"),
        (crl_pem(PKI, "root"), "trust.no-anchor"),
        (pem(PKI.signer("ed25519").certificate), "trust.no-anchor"),
    ],
)
def test_a_file_holds_nothing_but_whole_certificates_and_crls(data: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / "keyring.pem"
    path.write_bytes(data)
    assert why in refused(path)


def test_a_directory_without_entries_tells_how_to_make_them(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_bytes(pem(ROOT))
    assert f"openssl rehash {tmp_path}" in refused(directory=tmp_path)
    assert "trust.keyring-missing" in refused(directory=tmp_path / "nothing")


def test_some_place_must_be_named() -> None:
    assert "trust.keyring-invalid" in refused()


def test_a_fifo_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "keyring.pem")
    assert "no regular file" in refused(tmp_path / "keyring.pem")


@pytest.mark.req("T16")
def test_size_and_number_of_entries_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = rehashed(tmp_path / "trusted", root=pem(ROOT), crl=crl_pem(PKI, "root"))
    monkeypatch.setattr(keyring, "MAX_SIZE", len(pem(ROOT)) + 10)
    assert "more than" in refused(directory=directory)
    monkeypatch.setattr(keyring, "MAX_SIZE", 10_000)
    monkeypatch.setattr(keyring, "MAX_ENTRIES", 1)
    assert "more than 1" in refused(directory=directory)
    path = tmp_path / "keyring.pem"
    path.write_bytes(pem(ROOT) * 2)
    assert "more than 1" in refused(path)


_ENTRIES = [pem(ROOT), pem(PKI.signer("rsa2048").certificate), *(crl_pem(PKI, name) for name in CRLS)]


def _try(data: bytes) -> None:
    """Loads it and judges a good signer by it."""
    codes = {"trust.keyring-invalid", "trust.no-anchor"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keyring.pem"
        path.write_bytes(data)
        try:
            check_chain(load_keyring(path, check_crl=True), PKI.signer().certificate, (), PKI.now)
            code = "trust.no-anchor"
        except ConfigError as error:
            code = error.code
        except BundleError as error:
            code = error.code if error.details else "without details"
            codes = {each for each in CODES if each.startswith(("bundle.c", "bundle.s"))}
    assert code in codes


@pytest.mark.req("T16")
@settings(max_examples=300)
@given(st.sampled_from(_ENTRIES), st.integers(0, 5000), st.integers(1, 255), st.sampled_from([b"", pem(ROOT)]))
def test_flipped_bytes_of_text_raise_nothing_but_the_documented_errors(
    data: bytes, position: int, mask: int, more: bytes
) -> None:
    _try(more + flipped(data, position % len(data), mask))


def _der(data: bytes) -> bytes:
    return base64.b64decode(b"".join(data.split(b"\n")[1:-2]))


@pytest.mark.req("T16")
@settings(max_examples=300)
@given(
    st.sampled_from(_ENTRIES), st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 255)), min_size=1, max_size=4)
)
def test_flipped_bytes_of_der_raise_nothing_but_the_documented_errors(
    data: bytes, flips: list[tuple[int, int]]
) -> None:
    label = data.split(b"-----")[1].removeprefix(b"BEGIN ")
    der = _der(data)
    for position, mask in flips:
        der = flipped(der, position % len(der), mask)
    body = base64.encodebytes(der)
    _try(pem(ROOT) + b"-----BEGIN " + label + b"-----\n" + body + b"-----END " + label + b"-----\n")


@settings(max_examples=200)
@given(st.binary(max_size=300), st.sampled_from([b"CERTIFICATE", b"X509 CRL"]))
def test_any_bytes_raise_nothing_but_the_documented_errors(data: bytes, label: bytes) -> None:
    _try(data)
    _try(b"-----BEGIN " + label + b"-----\n" + base64.encodebytes(data) + b"-----END " + label + b"-----\n")


@pytest.mark.req("T16")
def test_many_beginnings_without_an_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "keyring.pem"
    path.write_bytes(pem(ROOT) + b"-----BEGIN CERTIFICATE-----\nMII\n" * 120_000)
    assert "not complete" in refused(path)
