"""The inspector as a process: what it says of a bundle, and that it has no more rights than the facade."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gi.repository import GLib
from pki.build import shared_pki
from support.bundles import make_bundle

import agent
from agent.errors import RemoteError
from agent.rauc.manifest import as_variants, inspection, names

ENTRY = Path(agent.__file__).with_name("__main__.py")
NOBODY: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []}
CONFIG = """
[system]
compatible = "demo-board"
[keyring]
path = "{keyring}"
[bootloader]
type = "uboot"
[slot.rootfs.0]
device = "/dev/vda2"
bootname = "A"
[slot.rootfs.1]
device = "/dev/vda3"
bootname = "B"
[server]
url = "https://hawkbit.example/"
controller-id = "dev-1"
target-token-file = "token"
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)  # the facade's user must reach it
        keyring = shared_pki().keyring(path)
        (path / "device.toml").write_text(CONFIG.format(keyring=keyring))
        (path / "token").write_text("secret")
        (path / "token").chmod(0o600)
        yield path


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Path:
    extra = "hooks=post-install\n[hooks]\nfilename=program\nhooks=install-check\n[meta.cra]\nclass=security\n"
    return make_bundle(folder, version="2.0", extra=extra, program="#!/bin/sh\n")


def inspect(folder: Path, path: Path) -> str:
    command = [sys.executable, "-I", ENTRY, "inspector", "--config", folder / "device.toml", path]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, **NOBODY)
    assert done.stderr == ""
    return done.stdout


def refusal(folder: Path, path: Path) -> str:
    with pytest.raises(RemoteError) as caught:
        inspection(inspect(folder, path))
    return caught.value.code


@pytest.mark.root
def test_a_bundle_is_described_as_rauc_does_it(folder: Path, bundle: Path) -> None:
    manifest = inspection(inspect(folder, bundle))
    assert names(manifest) == ("demo-board", "2.0")
    sent = GLib.Variant("a{sv}", as_variants(manifest, GLib.Variant))
    assert sent.get_type_string() == "a{sv}"
    shapes = {key: sent.lookup_value(key, None).print_(True) for key in sent.unpack()}
    assert set(shapes) == {"manifest-hash", "update", "bundle", "hooks", "images", "meta"}
    assert shapes["hooks"] == "<{'filename': <'program'>, 'hooks': <<['install-check']>>}>"
    assert shapes["meta"] == "<{'cra': {'class': 'security'}}>"
    assert shapes["update"] == "<{'compatible': <'demo-board'>, 'version': <'2.0'>}>"
    assert "'verity-size': <uint64 " in shapes["bundle"]
    assert "'slot-class': <'rootfs'>" in shapes["images"]
    assert "'hooks': <['post-install']>" in shapes["images"]


@pytest.mark.root
@pytest.mark.req("C09")
def test_a_file_that_others_may_not_read_is_not_read_for_them(folder: Path, bundle: Path) -> None:
    secret = folder / "secret.raucb"
    secret.write_bytes(bundle.read_bytes())
    secret.chmod(0o600)
    assert refusal(folder, secret) == "bundle.not-found"


@pytest.mark.root
def test_a_bundle_of_somebody_else_is_refused(folder: Path) -> None:
    assert refusal(folder, make_bundle(folder, signer="evil")) == "bundle.signature-untrusted"


@pytest.mark.root
def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    assert refusal(folder, pipe) == "bundle.not-a-file"


@pytest.mark.root
def test_a_file_that_has_no_end_is_refused_as_one_that_cannot_be_read(folder: Path) -> None:
    assert refusal(folder, Path("/proc/self/mem")) == "bundle.read-failed"


def test_words_that_are_no_answer_are_an_error() -> None:
    for output in ("", "[]", "Traceback", json.dumps({"manifest": 1})):
        with pytest.raises(Exception, match="could not be inspected"):
            inspection(output)
