"""Another signature for a bundle that exists; its payload stays as it is, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agent.bundle import cms
from agent.bundle.enveloped import RecipientKey
from agent.bundle.keyfile import MAX_SIZE as MAX_MANIFEST
from agent.bundle.layout import Trailer, read_trailer
from agent.bundle.manifest import parse_draft, require_complete
from agent.bundle.payload import corrupt, record
from agent.bundle.source import FileSource, Source
from agent.bundle.squashfs import SquashFS
from agent.bundle.verify import MANIFEST, signed_part
from agent.bundle.verity import open_verity
from agent.bundler.ending import append_signature, copy_start
from agent.bundler.report import Step
from agent.errors import BundleError


def signature_of(source: Source, keys: Sequence[RecipientKey] = ()) -> Trailer:
    """Finds the signature of a bundle that can be signed anew, out of its envelope if it has one.

    Raises:
        BundleError: as ``read_trailer`` and ``signed_part``.
    """
    trailer = read_trailer(source)
    return replace(trailer, cms=signed_part(trailer.cms, keys)[0])


def joined(source: FileSource, fd: int, signature: bytes, out: Path, step: Step) -> None:
    """Writes a bundle of the payload of another one (``fd`` is the descriptor behind ``source``) and a signature."""
    copy_start(fd, read_trailer(source).payload_size, out, step)
    append_signature(out, signature)


def check_consistent(source: Source, step: Step) -> None:
    """Checks that signature, manifest and every byte of the payload belong together, whoever signed.

    Raises:
        BundleError: ``bundle.signature-*``, ``bundle.payload-corrupt``, ``bundle.manifest-invalid``,
            ``bundle.format-mismatch``.
    """
    trailer = signature_of(source)
    message = cms.parse_signed_data(trailer.cms)
    cms.check_signature(message)

    def told(done: int) -> None:
        step("checking the payload", done, trailer.payload_size)

    if message.content is None:
        total = hashlib.new(message.hash_name)
        payload = record(source, trailer.payload_size, total, told)
        if not cms.digest_matches(message, total.digest()):
            raise corrupt(f"the signature is for another payload than these {trailer.payload_size} bytes")
        if parse_draft(SquashFS(payload).open(MANIFEST).read(MAX_MANIFEST)).bundle_format != "plain":
            raise _mismatch("the signature is detached, and the manifest does not say format=plain")
        return
    manifest = parse_draft(message.content)
    if manifest.bundle_format == "plain":
        raise _mismatch("the signature carries a manifest that says format=plain")
    require_complete(manifest)
    size = trailer.payload_size - manifest.verity_size
    blocks = open_verity(source, size, manifest.verity_size, manifest.verity_salt, manifest.verity_hash)
    done = 0
    for piece in blocks.stream(0, blocks.size):
        done += len(piece)
        told(done)


def _mismatch(details: str) -> BundleError:
    return BundleError(
        "bundle.format-mismatch",
        "the signature does not fit the format of the bundle",
        details=details,
        resolution="sign what 'ota-bundle extract-signature --content' wrote, unchanged",
    )
