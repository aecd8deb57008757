"""A bundle in words and in JSON."""

from __future__ import annotations

from datetime import UTC, datetime

from agent.bundle.facts import manifest_facts
from agent.bundle.manifest import Image, Manifest
from agent.bundle.verify import Signer, VerifiedBundle


def bundle_lines(bundle: VerifiedBundle) -> list[str]:
    """Everything about a verified bundle, for a person."""
    signer = bundle.signer
    return [
        *manifest_lines(bundle.manifest, bundle.size, bundle.manifest_hash),
        f"Signer:       {signer.subject}",
        f"              sha256 {signer.fingerprint}",
        f"              valid until {_iso(signer.not_after)}",
        f"Signed at:    {_iso(signer.signing_time) if signer.signing_time else 'not told'}",
        f"Trusted by:   {' < '.join(each.subject.rfc4514_string() for each in signer.chain[1:]) or 'itself'}",
    ]


def bundle_facts(bundle: VerifiedBundle) -> dict[str, object]:
    """The same for a program."""
    return {
        "verified": True,
        **manifest_facts(bundle.manifest, bundle.size, bundle.manifest_hash),
        "signer": _signer_facts(bundle.signer),
    }


def manifest_lines(manifest: Manifest, size: int, manifest_hash: str) -> list[str]:
    """What the manifest says, for a person."""
    lines = [
        f"Compatible:   {manifest.compatible}",
        f"Version:      {manifest.version or 'not told'}",
    ]
    if manifest.description:
        lines.append(f"Description:  {' '.join(manifest.description.split())}")
    if manifest.build:
        lines.append(f"Build:        {manifest.build}")
    lines += [
        f"Format:       {manifest.bundle_format}",
        f"Size:         {megabytes(size)}",
        f"Hash:         {manifest_hash}",
    ]
    if manifest.hook_filename:
        lines.append(f"Hooks:        {manifest.hook_filename}: {', '.join(manifest.hooks) or 'of images'}")
    if manifest.handler_filename:
        lines.append(f"Handler:      {manifest.handler_filename} {' '.join(manifest.handler_args.split())}".rstrip())
    for image in manifest.images:
        lines += _image_lines(image)
    for label, pairs in manifest.meta.items():
        lines += [f"Meta:         {label}.{key}={' '.join(value.split())}" for key, value in pairs.items()]
    return lines


def megabytes(size: int) -> str:
    """A size that a person can compare."""
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size} bytes"


def _image_lines(image: Image) -> list[str]:
    parts = [image.filename or "no file", megabytes(image.size), image.type or "", *image.hooks, *image.adaptive]
    return [
        f"Image:        {image.group.removeprefix('image.')}: {', '.join(filter(None, parts))}",
        *([f"              sha256 {image.sha256}"] if image.sha256 else []),
    ]


def _signer_facts(signer: Signer) -> dict[str, object]:
    return {
        "subject": signer.subject,
        "sha256": signer.fingerprint,
        "not-after": _iso(signer.not_after),
        "signing-time": _iso(signer.signing_time) if signer.signing_time else None,
        "chain": [each.subject.rfc4514_string() for each in signer.chain],
    }


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
