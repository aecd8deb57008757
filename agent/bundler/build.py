"""Makes bundles: a squashfs of the content, the hash tree, the signature.

Everything but the signature, and the key of a ``crypt`` bundle, depends on the content alone: also the salt of the hash
tree, which only has to differ where the content does (so that digests of common blocks are of no use to somebody else).
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from agent.bundle.crypt import KEY, encrypt_sectors
from agent.bundle.manifest import Format, Image, Manifest, dump_manifest, require_complete
from agent.bundle.payload import BLOCK
from agent.bundle.source import FileSource
from agent.bundle.verify import MANIFEST, MAX_PLAIN
from agent.bundle.verity import build_tree
from agent.bundler.content import HASH_INDEX, Content, index_name
from agent.bundler.ending import append_signature, unfinished
from agent.bundler.faults import BuildError, bad_content
from agent.bundler.packing import Compression, Measured, Packer, total_size
from agent.bundler.report import Step
from agent.bundler.sign_cms import sign, sign_digest
from agent.bundler.signer import HashName, Signer

OPEN_KEY = "the key to the payload lies open in the bundle: close it with 'ota-bundle encrypt'"
_SALT = b"ota-bundle: salt of the hash tree\n"


@dataclass(frozen=True, slots=True)
class Built:
    """A finished bundle.

    Args:
        path: where it is.
        size: bytes.
        manifest: with the digests and sizes filled in.
        manifest_hash: SHA-256 of the signed manifest, hexadecimal.
    """

    path: Path
    size: int
    manifest: Manifest
    manifest_hash: str


def create(
    content: Content,
    out: str | os.PathLike[str],
    *,
    signer: Signer,
    intermediates: Sequence[x509.Certificate] = (),
    hash_name: HashName = "sha256",
    when: datetime | None = None,
    epoch: int = 0,
    compression: Compression = "gzip",
    bundle_format: Format = "verity",
    step: Step | None = None,
) -> Built:
    """Makes a signed bundle.

    Args:
        content: what goes in.
        out: the bundle; it must not exist, and appears only when it is complete.
        signer: signs it.
        intermediates: certificates that the bundle carries so that a device needs only the root.
        hash_name: digest of the signature.
        when: the signing time; now when None.
        epoch: the time of the files in it, seconds since 1970.
        compression: of the squashfs.
        bundle_format: ``verity`` is checked block by block while it is installed, ``plain`` as a whole before, ``crypt`` is
            ``verity`` over encrypted blocks; its signature holds their key until ``encrypt`` closes it for recipients.
        step: told about the progress.

    Raises:
        BuildError: ``build.content-invalid``, ``build.exists``, ``build.key-mismatch``, ``build.too-large``, and what the
            signer raises.
        BundleError: ``bundle.manifest-invalid``, ``bundle.signature-weak``, ``bundle.signature-unsupported``.
        EnvironmentFault: ``build.tool-failed``, ``build.tool-missing``.
    """
    told, moment = step or silent, when or datetime.now(UTC)
    with unfinished(Path(out)) as bundle:
        manifest, salt = _pack(content, bundle, bundle_format, compression, epoch, told)
        if bundle_format == "crypt":
            manifest = replace(manifest, crypt_key=_encrypt_payload(bundle, told))
        if bundle_format != "plain":
            manifest = _append_tree(bundle, manifest, salt, told)
            text = dump_manifest(manifest)
            signature = sign(text, signer, intermediates, when=moment, hash_name=hash_name)
        else:
            text = dump_manifest(manifest)
            signature = sign_plain(bundle, signer, intermediates, when=moment, hash_name=hash_name, step=told)
        append_signature(bundle, signature)
        size = bundle.stat().st_size
    return Built(Path(out), size, manifest, hashlib.sha256(text).hexdigest())


def sign_plain(
    payload: Path,
    signer: Signer,
    intermediates: Sequence[x509.Certificate],
    *,
    when: datetime,
    hash_name: HashName,
    step: Step,
) -> bytes:
    """Returns the detached signature over a file; raises as ``sign_digest``, and BuildError ``build.too-large``."""
    size = payload.stat().st_size
    if size > MAX_PLAIN:
        raise BuildError(
            "build.too-large",
            "the content is too large for the plain format",
            details=f"the squashfs has {size} bytes; at most {MAX_PLAIN}",
            resolution="use the verity format",
        )
    digest = hashlib.new(hash_name)
    for piece in _pieces(payload, step):
        digest.update(piece)
    return sign_digest(digest.digest(), signer, intermediates, when=when, hash_name=hash_name)


def silent(_what: str, _done: int, _total: int) -> None:
    """A Step that tells nobody."""


def _pack(
    content: Content,
    out: Path,
    bundle_format: Format,
    compression: Compression,
    epoch: int,
    told: Step,
) -> tuple[Manifest, bytes]:
    """Writes the squashfs; returns its manifest, and a salt that depends on all that is in it."""
    for image in content.draft.images:
        if image.filename:
            _check_size(image, content.files[image.filename].stat().st_size)
    indexed = {image.filename: index_name(image) for image in content.draft.images if HASH_INDEX in image.adaptive}
    found: dict[str, Measured] = {}
    with Packer(out, compression, epoch=epoch, total=total_size(content.files), step=told) as packer:
        for name, path in content.files.items():
            found[name] = packer.add_file(name, path, with_digests=name in indexed)
        for name, index in sorted(indexed.items()):
            packer.add_bytes(index, found[name].block_digests)
        images = tuple(_measured(image, found) for image in content.draft.images)
        manifest = replace(content.draft, bundle_format=bundle_format, images=images)
        text = dump_manifest(manifest)
        packer.add_bytes(MANIFEST, text)
        packer.finish()
    listing = "".join(f"{each.sha256} {name}\n" for name, each in found.items())
    return manifest, hashlib.sha256(_SALT + listing.encode() + text).digest()


def _check_size(image: Image, size: int) -> None:
    if size == 0:
        raise bad_content(f"[{image.group}] {image.filename} is empty")
    if HASH_INDEX in image.adaptive and size % BLOCK:
        raise bad_content(
            f"[{image.group}] {image.filename} has {size} bytes, and {HASH_INDEX} needs whole blocks of {BLOCK}",
            f"pad it, as in: truncate -s %{BLOCK} {image.filename}",
        )


def _measured(image: Image, found: Mapping[str, Measured]) -> Image:
    if not image.filename:
        return image
    return replace(image, sha256=found[image.filename].sha256, size=found[image.filename].size)


def _encrypt_payload(bundle: Path, told: Step) -> bytes:
    """Encrypts the squashfs where it lies, and returns the key."""
    key = secrets.token_bytes(KEY)
    with bundle.open("rb+") as file:
        source = FileSource(file.fileno())
        done = 0
        for piece in source.stream(0, source.size):
            os.pwrite(file.fileno(), encrypt_sectors(key, done // BLOCK, piece), done)
            done += len(piece)
            told("encrypting", done, source.size)
    return key


def _append_tree(bundle: Path, manifest: Manifest, salt: bytes, told: Step) -> Manifest:
    root, tree = build_tree(_pieces(bundle, told), salt)
    with bundle.open("ab") as file:
        file.write(tree)
    manifest = replace(manifest, verity_hash=root, verity_salt=salt, verity_size=len(tree))
    require_complete(manifest)
    return manifest


def _pieces(path: Path, told: Step) -> Iterator[bytes]:
    with path.open("rb") as file:
        source = FileSource(file.fileno())
        done = 0
        for piece in source.stream(0, source.size):
            done += len(piece)
            told("hashing", done, source.size)
            yield piece
