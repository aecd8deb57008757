"""What signs a bundle: the class hands keys, tokens and commands to ota-bundle, and the same images make the same bundle."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from layer.builds.products import Products, digest
from layer.oe.lab import BUNDLE, Lab
from layer.paths import ROOT

_MACHINE = "qemux86-64"
_PIN = "1234"


@pytest.fixture
def made(lab: Lab, tree: Path, tmp_path: Path) -> Products:
    """A build whose bundle has a fixed time."""
    return built(lab, tree, tmp_path, {"OTA_BUNDLE_EPOCH": "1700000000"})


def built(lab: Lab, tree: Path, scratch: Path, settings: Mapping[str, str]) -> Products:
    """The bundle with further settings, all in one build directory."""
    workspace = lab.workspace(_MACHINE, tree, "signing", settings)
    return Products(lab, _MACHINE, workspace, workspace.build(BUNDLE), scratch)


def assert_signed(products: Products) -> None:
    """The bundle is one by the signer whom the devices trust."""
    command = [sys.executable, "-m", "agent.bundler.cli", "verify", products.bundle]
    done = subprocess.run(
        [*command, "--keyring", products.lab.keys / "signer.pem"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_same_images_make_the_same_bundle(made: Products) -> None:
    before, first = digest(made.bundle), made.bundle.resolve()
    made.workspace.build("-C", "configure", BUNDLE)
    assert made.bundle.resolve() != first, "it was not made again"
    assert digest(made.bundle) == before


def test_a_command_signs_in_the_place_of_a_key(lab: Lab, tree: Path, tmp_path: Path) -> None:
    command = f"openssl dgst -sha256 -sign {lab.keys}/signer.key"
    assert_signed(built(lab, tree, tmp_path, {"OTA_KEY_FILE": "", "OTA_SIGN_COMMAND": command}))


def test_a_key_signs_that_never_leaves_its_token(lab: Lab, tree: Path, tmp_path: Path) -> None:
    token = Token(lab)
    assert_signed(built(lab, tree, tmp_path, {"OTA_KEY_FILE": token.uri, "export SOFTHSM2_CONF": str(token.conf)}))


class Token:
    """A token of SoftHSM that holds the key of the builds; a new one each time.

    Args:
        lab: whose builder it is for.
    """

    def __init__(self, lab: Lab) -> None:
        folder = lab.home / "token"
        shutil.rmtree(folder, ignore_errors=True)
        for each in (folder, folder / "tokens"):
            each.mkdir()
            lab.builder.own(each)
        self.conf, pin = folder / "softhsm2.conf", folder / "pin"
        self.conf.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        pin.write_text(_PIN)
        self._lab = lab
        self._run("--init-token", "--free", "--label", "layer", "--so-pin", _PIN, "--pin", _PIN)
        key = ("--import", str(lab.keys / "signer.key"), "--label", "signer", "--id", "01")
        self._run(*key, "--token", "layer", "--pin", _PIN)
        self.uri = f"pkcs11:token=layer;object=signer?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source={pin}"

    def _run(self, *arguments: str) -> None:
        environment = {"PATH": "/usr/bin:/bin", "SOFTHSM2_CONF": str(self.conf)}
        command = self._lab.builder.command("softhsm2-util", *arguments)
        subprocess.run(command, env=environment, check=True, capture_output=True)
