"""Bundles for tests, made by our own builder with the certificates of ``pki.build``.

pki = shared_pki()
bundle = make_bundle(tmp_path, version="2", compatible="demo-board", image=b"...", pki=pki)
trust = trust_in(pki)
with opened(bundle) as source:
    verified = verify_bundle(source, trust, pki.now)
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pki.build import Identity, Pki, shared_pki

from agent.bundle.purpose import CheckPurpose
from agent.bundle.source import FileSource
from agent.bundle.trust import TrustPolicy
from agent.bundler.build import create
from agent.bundler.content import read_directory
from agent.bundler.envelope import envelop
from agent.bundler.packing import Compression
from support.signing import signer_of
from support.tampering import Parts, parts_of

IMAGE_NAME = "rootfs.img"

__all__ = ["IMAGE_NAME", "closed", "make_bundle", "make_content", "opened", "shared_pki", "some_image", "trust_in"]


def make_bundle(
    directory: Path,
    *,
    version: str = "1",
    compatible: str = "demo-board",
    image: Path | bytes | None = None,
    pki: Pki | None = None,
    signer: str = "good",
    format: Literal["verity", "crypt", "plain"] = "verity",
    image_type: str | None = None,
    slot_class: str = "rootfs",
    extra: str = "",
    compression: Compression = "gzip",
    name: str = "",
    program: str = "",
) -> Path:
    """Makes a signed bundle with one image in ``directory`` and returns its path.

    Args:
        directory: made when missing; keeps the content directory beside the bundle.
        version: of the update.
        compatible: which devices it is for.
        image: the image or its path; a small one when not given.
        pki: who signs; the shared one when not given.
        signer: a name of ``pki.build.SPECS``; its intermediates go into the bundle.
        format: ``verity``, ``plain`` or ``crypt``; the last one is not encrypted for anybody yet, see ``closed``.
        image_type: the ``type`` of the image in the manifest, when wanted.
        slot_class: the class of slots that the image is for.
        extra: more text for the manifest, after the image's group (``[meta.ota]\\n...``).
        compression: of the squashfs.
        name: the bundle's file name; from version, format and signer when not given.
        program: a shell script that the bundle carries under this name, executable, when wanted.
    """
    identity = (pki or shared_pki()).signer(signer)
    target = directory / (name or f"update-{version}-{format}-{signer}.raucb")
    content = make_content(
        directory / f"{target.name}.content",
        version=version,
        compatible=compatible,
        image=some_image() if image is None else image,
        image_type=image_type,
        slot_class=slot_class,
        extra=extra,
    )
    if program:
        (content / "program").write_text(f"#!/bin/sh\n{program}")
        (content / "program").chmod(0o755)
    create(
        read_directory(content),
        target,
        signer=signer_of(identity),
        intermediates=identity.intermediates,
        compression=compression,
        bundle_format=format,
    )
    return target


def closed(bundle: Path, *recipients: Identity) -> Path:
    """Encrypts a ``crypt`` bundle of ``make_bundle`` and returns the path of the encrypted one."""
    parts = parts_of(bundle)
    target = bundle.with_suffix(".closed.raucb")
    cms = envelop(parts.cms, [each.certificate for each in recipients])
    target.write_bytes(Parts(parts.payload, cms).joined())
    return target


def make_content(
    content: Path,
    *,
    version: str,
    compatible: str,
    image: Path | bytes,
    image_type: str | None = None,
    slot_class: str = "rootfs",
    extra: str = "",
) -> Path:
    """Writes a content directory, as for ``ota-bundle create`` and ``rauc bundle``, and returns it."""
    content.mkdir(parents=True)
    if isinstance(image, bytes):
        (content / IMAGE_NAME).write_bytes(image)
    else:
        shutil.copyfile(image, content / IMAGE_NAME)
    lines = ["[update]", f"compatible={compatible}", f"version={version}", ""]
    lines += [f"[image.{slot_class}]", f"filename={IMAGE_NAME}"]
    if image_type:
        lines.append(f"type={image_type}")
    (content / "manifest.raucm").write_text("\n".join(lines) + "\n\n" + extra)
    return content


def some_image(size: int = 300_000, seed: int = 1) -> bytes:
    """Exactly ``size`` bytes that look like an image: some compress well, some not at all, some are holes."""
    noise = random.Random(seed).randbytes(16384)
    unit = noise + bytes(8192) + b"text that compresses well. " * 300
    return (unit * (size // len(unit) + 1))[:size]


def trust_in(pki: Pki | None = None, *names: str, check_purpose: CheckPurpose = "codesign") -> TrustPolicy:
    """A keyring of the named certificates (the root when none is named)."""
    source = pki or shared_pki()
    return TrustPolicy.of([source.signer(name).certificate for name in names or ("root",)], check_purpose)


@contextmanager
def opened(path: Path) -> Iterator[FileSource]:
    """The file as a Source."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield FileSource(fd)
    finally:
        os.close(fd)
