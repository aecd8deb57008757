"""Runs the ``rauc`` of the distribution, the independent judge of our bundles."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pki.build import Identity, Pki, pem


def rauc(*argv: str | Path, conf: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs it and returns what came out; ``conf`` is a system.conf."""
    options = ["-c", str(conf)] if conf else []
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        ["rauc", *options, *map(str, argv)], capture_output=True, text=True, env=environment, check=False, timeout=60
    )


def system_conf(directory: Path, keyring: Path, check_purpose: str = "codesign") -> Path:
    """Writes a system.conf that trusts ``keyring``; rauc 1.8 takes the purpose from there only."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"system-{check_purpose}.conf"
    lines = ["[system]", "compatible=demo-board", "bootloader=noop", "[keyring]"]
    lines += [f"path={keyring}", f"check-purpose={check_purpose}"]
    path.write_text("\n".join(lines) + "\n")
    return path


def encryption_conf(directory: Path, keyring: Path, recipient: Identity) -> Path:
    """The same with the key of one recipient; rauc 1.8 takes it from there only."""
    certificate, key = recipient.write(directory)
    path = system_conf(directory / f"for-{recipient.name}", keyring)
    path.write_text(path.read_text() + f"[encryption]\nkey={key}\ncert={certificate}\n")
    return path


def rauc_bundle(content: Path, out: Path, signer: Identity, *squashfs_options: str) -> Path:
    """Makes a bundle with ``rauc bundle``; it writes the digests into the manifest in ``content``."""
    certificate, key = signer.write(out.parent)
    argv: list[str | Path] = ["bundle", f"--cert={certificate}", f"--key={key}"]
    for number, each in enumerate(signer.intermediates):
        path = out.parent / f"{signer.name}-{number}.pem"
        path.write_bytes(pem(each))
        argv.append(f"--intermediate={path}")
    if squashfs_options:
        argv.append(f"--mksquashfs-args={' '.join(squashfs_options)}")
    done = rauc(*argv, content, out)
    assert done.returncode == 0, done.stderr
    return out


def accepts(bundle: Path, conf: Path, out: Path) -> bool:
    """Says whether rauc verifies and extracts the bundle; ``info`` alone does not look at the payload."""
    if rauc("info", bundle, conf=conf).returncode:
        return False
    return rauc("extract", bundle, out, conf=conf).returncode == 0


def keyring_of(pki: Pki, directory: Path) -> Path:
    """A keyring with the root of ``pki``."""
    return pki.keyring(directory)
