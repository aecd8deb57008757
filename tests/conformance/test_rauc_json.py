"""``ota-bundle info --json`` says what ``rauc info`` says, in the shape of RAUC's ``json-2``.

rauc 1.8 has the values (``--output-format=json``) but not yet this shape. The shape is built here once more from the rules
of ``r_manifest_to_dict`` in RAUC's ``src/manifest.c`` (1.15): what is not given is left out, ``hooks`` of an image never.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from pki.build import shared_pki
from support.bundles import make_content, some_image
from support.rauc import rauc, rauc_bundle, system_conf
from support.tampering import parts_of

from agent.bundle.facts import manifest_facts
from agent.bundle.manifest import parse_manifest
from agent.bundler.cli import main

PKI = shared_pki()
OURS = {"ok", "verified", "signer", "size", "warnings"}
UPDATE = {"compatible": "demo-board", "version": "2026.11-1 ß;=#", "description": "two\nlines", "build": "77"}


@pytest.mark.req("C11")
@pytest.mark.parametrize("kind", ["verity", "plain"])
def test_a_bundle_of_rauc_is_described_as_rauc_describes_it(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = make_content(tmp_path / "content", version="1", compatible="x", image=some_image(4096 * 9))
    (content / "app.ext4").write_bytes(some_image(70_000, seed=2))
    (content / "manifest.raucm").write_text(
        "[update]\n" + "".join(f"{key}={value}\n" for key, value in UPDATE.items()).replace("two\nlines", "two\\nlines")
        + f"[bundle]\nformat={kind}\n[image.rootfs]\nfilename=rootfs.img\nadaptive=block-hash-index\n"
        "[image.app.big]\nfilename=app.ext4\n"
    )  # fmt: skip
    bundle = rauc_bundle(content, tmp_path / "x.raucb", PKI.signer())
    said = rauc("info", "--output-format=json", bundle, conf=system_conf(tmp_path, PKI.keyring(tmp_path))).stdout
    theirs = json.loads(said)
    assert main(["info", str(bundle), "--keyring", str(PKI.keyring(tmp_path)), "--json"]) == 0
    ours = json.loads(capsys.readouterr().out)
    assert ours.keys() >= OURS
    assert set(ours) - OURS == {"manifest-hash", "update", "bundle", "images", "meta"}
    assert ours["update"] == {key: theirs[key] for key in UPDATE} == UPDATE
    images = [next(iter(each.items())) for each in theirs["images"]]
    expected = [
        {
            "slot-class": slot_class,
            **({"variant": each["variant"]} if each["variant"] else {}),
            "filename": each["filename"],
            "checksum": each["checksum"],
            "size": each["size"],
            "hooks": each["hooks"],
            **({"adaptive": each["adaptive"]} if each["adaptive"] else {}),
        }
        for slot_class, each in images
    ]
    assert ours["images"] == expected
    assert [each.get("variant") for each in expected] == [None, "big"]
    assert ours["size"] == bundle.stat().st_size
    text = signed_manifest(bundle, tmp_path)
    assert ours["manifest-hash"] == hashlib.sha256(text).hexdigest()
    generated = dict(line.split("=", 1) for line in text.decode().splitlines() if line.startswith("verity-"))
    sizes = {"verity-size": int(generated["verity-size"])} if generated else {}
    assert ours["bundle"] == {"format": kind, **generated, **sizes}


def signed_manifest(bundle: Path, tmp_path: Path) -> bytes:
    """The exact bytes of the manifest, by rauc and openssl."""
    conf, out = system_conf(tmp_path, PKI.keyring(tmp_path)), tmp_path / "out"
    assert rauc("extract", bundle, out, conf=conf).returncode == 0
    (tmp_path / "cms").write_bytes(parts_of(bundle).cms)
    argv = ["openssl", "cms", "-verify", "-noverify", "-binary", "-inform", "DER", "-in", str(tmp_path / "cms")]
    attached = subprocess.run(argv, capture_output=True, check=False, stdin=subprocess.DEVNULL).stdout
    return attached or (out / "manifest.raucm").read_bytes()


def test_hooks_handlers_and_meta_are_groups_as_in_rauc() -> None:
    text = (
        b"[update]\ncompatible=x\n[meta.ota]\nepoch=3\nkey=a b\n[meta.b]\nc=d\n"
        b"[hooks]\nfilename=hook.sh\nhooks=install-check\n[handler]\nfilename=run.sh\nargs=-a -b\n"
        b"[image.rootfs]\nfilename=a.img\nsha256=" + b"00" * 32 + b"\nsize=5\nhooks=pre-install;post-install;\n"
    )
    facts = manifest_facts(parse_manifest(text), 9, "ab")
    assert facts["hooks"] == {"filename": "hook.sh", "hooks": ["install-check"]}
    assert facts["handler"] == {"filename": "run.sh", "args": "-a -b"}
    image = {"slot-class": "rootfs", "filename": "a.img", "checksum": "00" * 32, "size": 5}
    assert facts["images"] == [{**image, "hooks": ["pre-install", "post-install"]}]
    assert facts["update"] == {"compatible": "x"}
    assert facts["meta"] == {"ota": {"epoch": "3", "key": "a b"}, "b": {"c": "d"}}
