"""Makes bundles: a squashfs of the content, the hash tree, the signature.

This runs on the build host. The content directory holds ``manifest.raucm`` and the images that it names, as for
``rauc bundle``, and is left as it is. mksquashfs makes the payload; keys stay in ``cryptography``.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder

from agent.bundle.crypt import KEY, encrypt_sectors
from agent.bundle.keyfile import MAX_SIZE as MAX_MANIFEST
from agent.bundle.layout import MAX_SIGNATURE
from agent.bundle.manifest import Image, Manifest, dump_manifest, parse_draft, require_complete
from agent.bundle.payload import BLOCK
from agent.bundle.source import PIECE, FileSource
from agent.bundle.verify import MANIFEST, MAX_PLAIN
from agent.bundle.verity import build_tree
from agent.bundler.report import Step
from agent.errors import EnvironmentFault, OtaError

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
Compression = Literal["gzip", "xz", "zstd", "lz4"]
COMPRESSIONS: tuple[Compression, ...] = ("gzip", "xz", "zstd", "lz4")


class BuildError(OtaError):
    """The content, the manifest or the key does not make a bundle."""


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
    directory: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    cert: x509.Certificate,
    key: SigningKey,
    intermediates: Sequence[x509.Certificate] = (),
    compression: Compression = "gzip",
    bundle_format: Literal["verity", "crypt", "plain"] = "verity",
    step: Step | None = None,
) -> Built:
    """Makes a signed bundle of the files in ``directory``.

    Args:
        directory: holds ``manifest.raucm`` and the images.
        out: the bundle; it must not exist, and appears only when it is complete.
        cert: certificate of the signer.
        key: its private key.
        intermediates: certificates that the bundle carries so that a device needs only the root.
        compression: of the squashfs.
        bundle_format: ``verity`` is checked block by block while it is installed, ``plain`` as a whole before, ``crypt`` is
            ``verity`` over encrypted blocks; its signature holds their key until ``encrypt`` closes it for recipients.
        step: told about the progress.

    Raises:
        BuildError: ``build.content-invalid``, ``build.exists``, ``build.key-mismatch``, ``build.too-large``.
        BundleError: ``bundle.manifest-invalid``, ``bundle.manifest-too-large``.
        EnvironmentFault: ``build.tool-failed``, ``build.tool-missing``.
    """
    content, target = Path(directory), Path(out)
    told = step or _silent
    if cert.public_key() != key.public_key():
        raise BuildError(
            "build.key-mismatch",
            "the private key does not belong to the certificate",
            details=cert.subject.rfc4514_string(),
            resolution="name the certificate and the key of the same signer",
        )
    if target.exists():
        raise _exists(target)
    names = check_content(content)
    manifest = replace(_complete(content, told), bundle_format=bundle_format)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        text = dump_manifest(manifest)
        (Path(scratch) / MANIFEST).write_bytes(text)
        bundle = Path(scratch) / "bundle"
        sources = [*(content / name for name in names), Path(scratch) / MANIFEST]
        told("compressing", 0, 0)
        _make_squashfs(sources, bundle, compression)
        if bundle_format == "crypt":
            manifest = replace(manifest, crypt_key=_encrypt_payload(bundle, told))
        if bundle_format != "plain":
            manifest = _append_tree(bundle, manifest, told)
            require_complete(manifest)
            text = dump_manifest(manifest)
            signature = sign(text, cert, key, intermediates)
        else:
            signature = _sign_plain(bundle, cert, key, intermediates)
        append_signature(bundle, signature)
        size = bundle.stat().st_size
        publish(bundle, target)
    return Built(target, size, manifest, hashlib.sha256(text).hexdigest())


def sign(
    data: bytes | memoryview,
    cert: x509.Certificate,
    key: SigningKey,
    intermediates: Sequence[x509.Certificate] = (),
    *,
    detached: bool = False,
) -> bytes:
    """Returns the CMS SignedData (SHA-256, DER) over ``data``."""
    builder = PKCS7SignatureBuilder().set_data(data).add_signer(cert, key, hashes.SHA256())
    for each in intermediates:
        builder = builder.add_certificate(each)
    options = [PKCS7Options.Binary, PKCS7Options.NoCapabilities]
    if detached:
        options.append(PKCS7Options.DetachedSignature)
    return builder.sign(Encoding.DER, options)


def append_signature(bundle: Path, signature: bytes) -> None:
    """Ends a bundle with its signature and the length of it, and makes it durable."""
    if len(signature) > MAX_SIGNATURE:
        raise BuildError(
            "build.too-large",
            "the signature is too large",
            details=f"it has {len(signature)} bytes, with the manifest and the certificates; at most {MAX_SIGNATURE}",
            resolution="shorten the texts of the manifest, or carry fewer certificates",
        )
    with bundle.open("ab") as file:
        file.write(signature + len(signature).to_bytes(8, "big"))
        file.flush()
        os.fsync(file.fileno())


def check_content(content: Path) -> list[str]:
    """Returns the names of the files in ``content`` beside the manifest.

    Raises:
        BuildError: ``build.content-invalid`` for anything that is not a regular file: links and devices would not mean
            the same on the device.
    """
    try:
        found = sorted(os.scandir(content), key=lambda each: each.name)
    except OSError as error:
        raise _bad_content(str(error)) from error
    names = [each.name for each in found]
    if MANIFEST not in names:
        raise _bad_content(f"{content} holds no {MANIFEST}")
    for each in found:
        if not stat.S_ISREG(each.stat(follow_symlinks=False).st_mode):
            raise _bad_content(f"{each.name} is not a regular file")
    names.remove(MANIFEST)
    return names


def _complete(content: Path, told: Step) -> Manifest:
    """Reads the manifest and fills in the digest and the size of every image."""
    with (content / MANIFEST).open("rb") as file:
        draft = parse_draft(file.read(MAX_MANIFEST + 1))
    manifest = replace(
        draft,
        verity_hash=b"",
        verity_salt=b"",
        verity_size=0,
        crypt_key=b"",
        images=tuple(_measured(content, each, told) for each in draft.images),
    )
    require_complete(replace(manifest, bundle_format="plain"))
    return manifest


def _measured(content: Path, image: Image, told: Step) -> Image:
    if not image.filename:
        return image
    digest, done = hashlib.sha256(), 0
    try:
        with (content / image.filename).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while piece := file.read(PIECE):
                digest.update(piece)
                done += len(piece)
                told(f"reading {image.filename}", done, size)
    except OSError as error:
        raise _bad_content(f"[{image.group}] {error}") from error
    if done == 0:
        raise _bad_content(f"[{image.group}] {image.filename} is empty")
    return replace(image, sha256=digest.hexdigest(), size=done)


def _make_squashfs(sources: Sequence[Path], out: Path, compression: Compression) -> None:
    argv = ["mksquashfs", *map(str, sources), str(out), "-noappend", "-no-progress", "-quiet", "-all-root"]
    argv += ["-no-xattrs", "-comp", compression]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError as error:
        raise EnvironmentFault(
            "build.tool-missing",
            "mksquashfs is not installed",
            resolution="install squashfs-tools",
            retryable=False,
        ) from error
    if done.returncode:
        raise EnvironmentFault(
            "build.tool-failed",
            "mksquashfs failed",
            details=(done.stderr or done.stdout).strip()[-500:],
            resolution="read its message; the disk may be full, or the compression not built in",
            retryable=False,
        )
    size = out.stat().st_size
    with out.open("ab") as file:
        # A hash tree needs whole blocks, and more than one; padding after a squashfs means nothing to its readers.
        file.write(bytes(max(2 * BLOCK, -(-size // BLOCK) * BLOCK) - size))


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


def _append_tree(bundle: Path, manifest: Manifest, told: Step) -> Manifest:
    salt = secrets.token_bytes(32)
    with bundle.open("rb+") as file:
        source = FileSource(file.fileno())
        done = 0

        def watched() -> Iterator[bytes]:
            nonlocal done
            for piece in source.stream(0, source.size):
                done += len(piece)
                told("hashing", done, source.size)
                yield piece

        root, tree = build_tree(watched(), salt)
        file.seek(0, os.SEEK_END)
        file.write(tree)
    return replace(manifest, verity_hash=root, verity_salt=salt, verity_size=len(tree))


def _sign_plain(
    bundle: Path, cert: x509.Certificate, key: SigningKey, intermediates: Sequence[x509.Certificate]
) -> bytes:
    size = bundle.stat().st_size
    if size > MAX_PLAIN:
        raise BuildError(
            "build.too-large",
            "the content is too large for the plain format",
            details=f"the squashfs has {size} bytes; at most {MAX_PLAIN}",
            resolution="use the verity format",
        )
    with (
        bundle.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages,
        memoryview(pages) as data,
    ):
        return sign(data, cert, key, intermediates, detached=True)


def publish(bundle: Path, target: Path) -> None:
    """Gives the finished file its name; never replaces another."""
    bundle.chmod(0o644)
    try:
        os.link(bundle, target)
    except FileExistsError as error:
        raise _exists(target) from error
    except OSError:  # a file system without hard links, such as FAT
        os.rename(bundle, target)


def _exists(target: Path) -> BuildError:
    return BuildError(
        "build.exists",
        "the bundle exists already",
        details=str(target),
        resolution="remove it, or choose another name",
    )


def _bad_content(details: str) -> BuildError:
    return BuildError(
        "build.content-invalid",
        "the content directory does not make a bundle",
        details=details[:500],
        resolution=f"put {MANIFEST} and the images that it names into it, as regular files",
    )


def _silent(_what: str, _done: int, _total: int) -> None:
    return None
