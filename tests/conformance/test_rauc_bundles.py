"""We and Debian's rauc 1.8 read the same manifest, and mean the same by purposes and chains of certificates."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from pki.build import shared_pki
from support.bundles import IMAGE_NAME, make_bundle, make_content, opened, some_image, trust_in
from support.rauc import accepts, rauc, system_conf
from support.tampering import parts_of

from agent.bundle.purpose import CheckPurpose
from agent.bundle.verify import verify_bundle
from agent.bundler.cli import main
from agent.errors import BundleError

PKI = shared_pki()
IMAGE = some_image(700_001)

PURPOSES = [
    "good",
    "email",
    "email-and-code",
    "server",
    "timestamp",
    "any-purpose",
    "no-purpose",
    "no-key-usage",
    "no-digital-signature",
    "under-email-intermediate",
    "good-code-intermediate",
]
CHAINS = [
    "good",
    "good-intermediate",
    "other",
    "evil",
    "expired",
    "not-yet-valid",
    "self-signed",
    "under-not-a-ca",
    "under-no-constraints",
    "under-too-deep",
    "under-expired-intermediate",
    "unknown-critical",
]


def ours_accepts(bundle: Path, check_purpose: CheckPurpose = "codesign") -> bool:
    """Says whether we verify the bundle and every byte that it gives us."""
    try:
        with opened(bundle) as source:
            verified = verify_bundle(source, trust_in(PKI, check_purpose=check_purpose), PKI.now)
            return sum(map(len, verified.payload.stream(0, verified.payload.size))) == verified.payload.size
    except BundleError:
        return False


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rauc")
    return system_conf(folder, PKI.keyring(folder))


def test_rauc_reads_the_same_manifest_from_our_bundle(
    tmp_path: Path, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_bundle(tmp_path, version="2026.11-1 \\\\ß;=#", image=IMAGE)
    theirs = json.loads(rauc("info", "--output-format=json", path, conf=conf).stdout)
    assert main(["info", str(path), "--keyring", str(PKI.keyring(tmp_path)), "--json"]) == 0
    ours = json.loads(capsys.readouterr().out)
    assert (theirs["compatible"], theirs["version"]) == (ours["update"]["compatible"], ours["update"]["version"])
    image = theirs["images"][0]["rootfs"]
    assert (image["filename"], image["checksum"], image["size"]) == (
        ours["images"][0]["filename"],
        ours["images"][0]["checksum"],
        ours["images"][0]["size"],
    )


@pytest.mark.req("C11")
@pytest.mark.parametrize("kind", ["verity", "plain"])
def test_a_manifest_from_options_with_every_type_of_image_is_accepted_by_rauc(
    kind: str, tmp_path: Path, conf: Path
) -> None:
    source, bundle, out = tmp_path / "build", tmp_path / "x.raucb", tmp_path / "out"
    (source / "tree").mkdir(parents=True)
    (source / "tree" / "file").write_text("hello")
    (source / "loader.img").write_bytes(IMAGE)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", source / "root.ext4", "1M"], check=True)
    (source / "boot.vfat").write_bytes(some_image(512 * 1024))
    subprocess.run(["mksquashfs", source / "tree", source / "app.squashfs", "-quiet", "-no-progress"], check=True)
    subprocess.run(["tar", "-cJf", source / "data.tar.xz", "-C", source / "tree", "."], check=True)
    images = {"loader": "loader.img", "rootfs": "root.ext4", "boot.big": "boot.vfat", "app": "app.squashfs"}
    images |= {"data": "data.tar.xz"}
    cert, key = PKI.signer().write(tmp_path)
    argv = [
        "create",
        str(bundle),
        "--compatible",
        "demo-board",
        "--version",
        "1",
        "--cert",
        str(cert),
        "--key",
        str(key),
    ]
    for name, file in images.items():
        argv += ["--image", f"{name}={source / file}"]
    assert main([*argv, "--format", kind]) == 0
    assert accepts(bundle, conf, out)
    for file in images.values():
        assert (out / file).read_bytes() == (source / file).read_bytes()
    theirs = json.loads(rauc("info", "--output-format=json", bundle, conf=conf).stdout)
    assert [next(iter(each)) for each in theirs["images"]] == [name.split(".")[0] for name in images]


@pytest.mark.parametrize("kind", ["verity", "plain"])
def test_a_development_pki_of_ours_serves_rauc(kind: str, tmp_path: Path) -> None:
    content = make_content(tmp_path / "content", version="1", compatible="demo-board", image=IMAGE)
    pki, bundle, out = tmp_path / "pki", tmp_path / "x.raucb", tmp_path / "out"
    assert main(["keygen", str(pki)]) == 0
    signing = ["--cert", f"{pki}/signer.pem", "--key", f"{pki}/signer.key", "--intermediate", f"{pki}/ca.pem"]
    assert main(["create", str(content), str(bundle), *signing, "--format", kind]) == 0
    assert accepts(bundle, system_conf(tmp_path, pki / "root.pem"), out)
    assert (out / IMAGE_NAME).read_bytes() == IMAGE


@pytest.mark.req("T09")
@pytest.mark.parametrize("check_purpose", ["codesign", "smimesign", "any"])
@pytest.mark.parametrize("signer", PURPOSES)
def test_the_purposes_mean_the_same_as_in_rauc(check_purpose: CheckPurpose, signer: str, tmp_path: Path) -> None:
    path = make_bundle(tmp_path, signer=signer)
    theirs = rauc("info", path, conf=system_conf(tmp_path, PKI.keyring(tmp_path), check_purpose)).returncode == 0
    assert ours_accepts(path, check_purpose) is theirs


@pytest.mark.req("S04", "S05")
@pytest.mark.parametrize("signer", CHAINS)
def test_the_chains_are_judged_as_by_rauc(signer: str, tmp_path: Path, conf: Path) -> None:
    path = make_bundle(tmp_path, signer=signer)
    assert ours_accepts(path) is accepts(path, conf, tmp_path / "out")


@pytest.mark.parametrize("kind", ["verity", "plain"])
def test_openssl_confirms_our_signatures(kind: str, tmp_path: Path) -> None:
    parts = parts_of(make_bundle(tmp_path, format=kind, signer="good-intermediate"))
    (tmp_path / "cms").write_bytes(parts.cms)
    (tmp_path / "payload").write_bytes(parts.payload)
    argv = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", str(tmp_path / "cms"), "-purpose", "any"]
    argv += ["-CAfile", str(PKI.keyring(tmp_path)), "-no-CApath", "-no-CAstore", "-out", "/dev/null"]
    argv += ["-content", str(tmp_path / "payload")] if kind == "plain" else []
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
