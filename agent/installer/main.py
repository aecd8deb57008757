"""The installer: verifies a bundle, then writes it. It has no network, and only one conversation, on standard input.

From the daemon come ``inspect``, ``check``, ``fetch`` or ``install`` with one descriptor: the open bundle, or a socket to
the fetcher. Back go ``progress``, ``checkpoint`` and ``said`` (words of the bundle's programs) while it works, and at the end
``inspected``, ``checked``, ``fetched``, ``installed`` or ``error``. A crash of this process is an ordinary failure: the daemon
sees the end of the conversation.
"""

from __future__ import annotations

import datetime
import os
import socket
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import cast

from agent.bundle.choice import choose_images
from agent.bundle.enveloped import RecipientKey, is_enveloped
from agent.bundle.image_type import image_type
from agent.bundle.keyring import load_keyring
from agent.bundle.layout import CachedTail, read_trailer
from agent.bundle.manifest import Image
from agent.bundle.purpose import CheckPurpose
from agent.bundle.recipient import load_recipient_key
from agent.bundle.source import FileSource, RemoteSource, Source
from agent.bundle.trust import TrustPolicy
from agent.bundle.verify import PlainProof, VerifiedBundle, is_detached, verify_bundle
from agent.errors import BundleError, explain
from agent.hangup import watch
from agent.installer.confine import confine, share_one_heap
from agent.installer.permission import Permission, permission, slot_of
from agent.installer.spool import spool
from agent.installer.write import install
from agent.wire import Channel, Frame, WireError
from slots.errors import SlotError
from slots.handlers.preflight import preflight

_MAX_TOLD = 1024  # characters of a text that is only shown


def main(arguments: list[str]) -> int:
    """Answers the daemon until it hangs up; returns the exit status."""
    if arguments or not stat.S_ISSOCK(os.fstat(0).st_mode):
        sys.stderr.write("the installer is started by the daemon, with a socket as standard input\n")
        return 2
    restriction = confine()
    share_one_heap()
    watch(0)
    channel = Channel(socket.socket(fileno=os.dup(0)), "daemon")
    proof: PlainProof | None = None
    try:
        while (frame := channel.recv()) is not None:
            proof = _answer(channel, frame, restriction, proof)
    except WireError:
        return 1  # the daemon is gone: there is nobody to tell
    return 0


def _answer(channel: Channel, frame: Frame, restriction: str, proof: PlainProof | None) -> PlainProof | None:
    """Does what the daemon asks; returns what spares the next verification the reading of a plain bundle."""
    handlers: Mapping[str, Callable[[Channel, Frame, VerifiedBundle, Permission | None], dict[str, object]]]
    handlers = {"inspect": _inspected, "check": _checked, "fetch": _fetched, "install": _installed}
    try:
        handler = handlers.get(frame.op)
        if handler is None or len(frame.fds) != 1:
            raise WireError("ipc.protocol", "the daemon asked for something unknown", details=frame.op[:60])
        with ExitStack() as transfer:
            bundle = _open(channel, frame, proof, transfer)
            proof = bundle.proof
            reply = handler(channel, frame, bundle, permission(bundle.manifest, frame, restriction))
        channel.send({**reply, "restriction": restriction})
    except WireError as error:
        if error.code == "ipc.peer-gone" and "daemon" in error.brief:
            raise
        channel.send({"op": "error", "error": explain(error)})
    except Exception as error:  # noqa: BLE001 - the boundary of the process: whatever it is, the daemon must hear of it
        channel.send({"op": "error", "error": explain(error)})
    finally:
        for fd in frame.fds:
            os.close(fd)
    return proof


def _open(channel: Channel, frame: Frame, proof: PlainProof | None, transfer: ExitStack) -> VerifiedBundle:
    """Verifies what the daemon handed over; ``transfer`` hangs up on the fetcher when the work is done."""
    fd = frame.fds[0]
    source: Source
    if stat.S_ISSOCK(os.fstat(fd).st_mode):
        fetcher = Channel.from_fd(os.dup(fd), "fetcher")
        transfer.callback(fetcher.close)
        remote = RemoteSource(fetcher, frame.number("size"))
        trailer = read_trailer(remote)
        source, outer = CachedTail(remote, trailer.tail), trailer.cms
        if is_detached(outer):
            _accept("plain", frame)  # before anything is fetched
            _may_be_fetched(frame)
            # A plain bundle cannot be trusted before its last byte: if the signature is good, it is fetched whole and digested
            # meanwhile; then it is read from the file.
            report, held = _reporter(channel, "fetched"), len(trailer.tail) + 1
            kept = spool(remote, Path(frame.text("spool")), frame.text("sha256"), report, held)
            source = CachedTail(transfer.enter_context(kept), trailer.tail)
    else:
        source = FileSource(fd)
        outer = read_trailer(source).cms
    keys = _keys(frame) if is_enveloped(outer) else ()
    when = datetime.datetime.fromtimestamp(frame.number("when"), datetime.UTC)
    bundle = verify_bundle(source, _trust(frame), when, keys=keys, proof=proof)
    _accept(bundle.format, frame)
    if bundle.format == "crypt" and not bundle.encrypted:
        raise BundleError(
            "bundle.not-encrypted", "the bundle is of the crypt format, but the key to its payload lies open",
            details="its signature is not encrypted for any recipient",
            resolution="encrypt it with 'ota-bundle encrypt' or 'rauc encrypt' before it is deployed",
        )  # fmt: skip
    return bundle


def _keys(frame: Frame) -> tuple[RecipientKey, ...]:
    key = frame.text("encryption_key")
    return (load_recipient_key(key, frame.text("encryption_cert")),) if key else ()


def _trust(frame: Frame) -> TrustPolicy:
    """Reads the keyring that the daemon's ``trust`` names; its keys are the settings of ``[keyring]``."""
    asked = frame.header.get("trust")
    trust = Frame(asked if isinstance(asked, dict) else {}, b"", ())
    names = trust.header.get("allowed_signer_cns")
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise WireError("ipc.protocol", "the daemon did not say which signers are allowed", details=repr(names)[:60])
    return load_keyring(
        trust.text("path") or None,
        cast("CheckPurpose", trust.text("check_purpose")),
        directory=trust.text("directory") or None,
        # Nothing but False switches a check off: what is missing or of another kind is the stricter answer.
        check_crl=trust.header.get("check_crl") is not False,
        allow_partial_chain=trust.header.get("allow_partial_chain") is True,
        allowed_signer_cns=names,
    )


def _accept(bundle_format: str, frame: Frame) -> None:
    formats = frame.header.get("formats")
    if not isinstance(formats, list) or bundle_format not in formats:
        raise BundleError(
            "bundle.format-refused", f"{bundle_format} bundles are not accepted here", details=f"accepted: {formats}",
            resolution="build the bundle in an accepted format, or extend bundle.formats",
        )  # fmt: skip


def _may_be_fetched(frame: Frame) -> None:
    if frame.header.get("whole") is False:
        raise BundleError(
            "consent.download-first", "all of the bundle must be downloaded before it can be looked at",
            details="it is a plain bundle", resolution="approve the download, or build the bundle as verity",
        )  # fmt: skip


def _inspected(_: Channel, frame: Frame, bundle: VerifiedBundle, allowed: Permission | None) -> dict[str, object]:
    manifest, signer = bundle.manifest, bundle.signer
    # The daemon takes this as the earliest possible time. A time at which the signer could not sign any more is a wrong
    # clock; believed, it would make every later bundle look expired.
    signed = signer.signing_time if signer.signing_time and signer.signing_time <= signer.not_after else None
    handled = bool(manifest.handler_filename)
    images = () if handled else choose_images(manifest, frame.text("variant", ""))
    return {
        "op": "inspected",
        "compatible": manifest.compatible,
        "version": manifest.version,
        "format": bundle.format,
        "manifest_hash": bundle.manifest_hash,
        "size": bundle.size,
        "signer": signer.subject,
        "certificate": signer.fingerprint,
        "warnings": list(bundle.warnings),
        "signed_at": int(signed.timestamp()) if signed else 0,
        "meta": {label: dict(values) for label, values in manifest.meta.items()},
        "programs": allowed is not None,
        "install_check": "install-check" in manifest.hooks,
        "handler": handled,
        "images": [
            {
                "class": image.slot_class,
                "filename": image.filename,
                "size": image.size,
                "sha256": image.sha256,
                "type": image_type(image),
                "own": "install" in image.hooks,
            }
            for image in images
        ],
        "unfit": _unfit(frame, images),
    }


def _unfit(frame: Frame, images: Sequence[Image]) -> dict[str, object] | None:
    """What speaks against a slot, as far as this process sees it: the daemon's sandbox lets it see less."""
    booted = frame.header.get("booted")
    devices = [str(device) for device in booted] if isinstance(booted, list) else []
    given = frame.header.get("slots")
    slots = {slot.slot_class: slot for slot in map(slot_of, given)} if isinstance(given, list) else {}
    for image in images:
        slot, own = slots.get(image.slot_class), "install" in image.hooks
        if slot is None:
            continue
        try:
            kind = "" if own else image_type(image)
            preflight(slot, kind, image.size, name=image.filename, booted=devices, own=own)
        except SlotError as error:
            return dict(explain(error))
    return None


def _checked(channel: Channel, frame: Frame, bundle: VerifiedBundle, allowed: Permission | None) -> dict[str, object]:
    _same(frame, bundle)
    if allowed is not None:
        from agent.installer.hooks import ready  # see write.py

        with ready(bundle, allowed, (), channel) as programs:
            programs.check()
    return {"op": "checked"}


def _fetched(channel: Channel, frame: Frame, bundle: VerifiedBundle, _: Permission | None) -> dict[str, object]:
    """Reads every byte of the payload through its verification; a plain bundle was stored and digested whole before."""
    _same(frame, bundle)
    report, done = _reporter(channel, "fetched"), 0
    if bundle.format != "plain":
        for piece in bundle.payload.stream(0, bundle.payload.size):
            done += len(piece)
            report(done, bundle.payload.size)
    return {"op": "fetched"}


def _installed(channel: Channel, frame: Frame, bundle: VerifiedBundle, allowed: Permission | None) -> dict[str, object]:
    _same(frame, bundle)
    manifest = bundle.manifest
    images = () if manifest.handler_filename else choose_images(manifest, frame.text("variant", ""))
    about = {
        "bundle": {"description": manifest.description[:_MAX_TOLD], "build": manifest.build[:_MAX_TOLD]},
        "files": {image.slot_class: image.filename for image in images},
    }
    return {"op": "installed", **about, **install(bundle, frame, channel, allowed)}


def _same(frame: Frame, bundle: VerifiedBundle) -> None:
    wanted = frame.text("manifest_hash")
    if bundle.manifest_hash != wanted:
        raise BundleError(
            "bundle.changed", "the bundle is not the one that was inspected",
            details=f"manifest {bundle.manifest_hash[:16]}, inspected was {wanted[:16]}",
            resolution="deploy it again; if this repeats, the server changes what it serves",
        )  # fmt: skip


def _reporter(channel: Channel, stage: str) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        channel.send({"op": "progress", "stage": stage, "bytes": done, "of": total})

    return report
