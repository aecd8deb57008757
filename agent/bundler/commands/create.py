"""The command ``ota-bundle create``."""

from __future__ import annotations

import argparse
from contextlib import suppress
from datetime import datetime

from agent.bundle.facts import manifest_facts
from agent.bundle.manifest import FORMATS
from agent.bundler.build import OPEN_KEY, create
from agent.bundler.content import Content, read_directory
from agent.bundler.describe import megabytes
from agent.bundler.environment import signing_time, source_date_epoch
from agent.bundler.faults import BuildError
from agent.bundler.keys import add_signing, doubts, signing
from agent.bundler.manifest_options import add_manifest, are_given, content_of
from agent.bundler.opening import add_trust, check_signer, trusting, verified_file
from agent.bundler.packing import COMPRESSIONS
from agent.bundler.report import Report, Step

NAME = "create"
ABOUT = "make a signed bundle"
EXAMPLES = """\
DIR holds manifest.raucm and the images that it names, as for 'rauc bundle'. Digests and sizes are filled in; DIR is left
as it is. A manifest needs no more than this:

  [update]
  compatible=my-board
  version=2026.11-1

  [image.rootfs]
  filename=rootfs.ext4

The name of an image tells what it is: *.img (raw), *.ext4, *.vfat, *.squashfs, *.ubifs, *.tar*, *.tgz. The same content
makes the same bytes, except for the signature, wherever it is packed by the same mksquashfs.

examples:
  ota-bundle create content update.raucb --cert signer.pem --key signer.key --intermediate ca.pem --keyring root.pem

without a directory:
  ota-bundle create update.raucb --compatible my-board --version 2026.11-1 --meta ota.epoch=3 \\
      --image rootfs=build/rootfs.ext4,adaptive=block-hash-index --cert signer.pem --key signer.key

with a key in an HSM; the PIN is in a file, so that no list of processes shows it:
  ota-bundle create content update.raucb --cert signer.pem \\
      --key 'pkcs11:token=signing;object=signer?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/run/secrets/pin'

with a signing service. The command gets the bytes to sign on its standard input, and OTA_BUNDLE_SIGN_ALGORITHM,
OTA_BUNDLE_SIGN_DIGEST and OTA_BUNDLE_SIGN_CERTIFICATE in its environment; it writes the bare signature:
  ota-bundle create content update.raucb --cert signer.pem --sign-command 'openssl dgst -sha256 -sign signer.key'
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """See Command."""
    parser.add_argument("directory", nargs="?", metavar="DIR", help="the content: manifest.raucm and the images")
    parser.add_argument("out", metavar="OUT", help="the bundle; must not exist")
    add_manifest(parser)
    add_signing(parser)
    parser.add_argument("--compression", choices=COMPRESSIONS, default="gzip", help="of the squashfs (%(default)s)")
    parser.add_argument("--format", choices=FORMATS, help="of the bundle (what the manifest says, else verity)")
    add_trust(parser, "verify the signer, and then the finished bundle, with these trusted certificates")


def run(options: argparse.Namespace, step: Step, now: datetime) -> Report:
    """See Command."""
    who = signing(options)
    content = _content(options)
    if options.keyring:
        check_signer(who, trusting(options, now))
    built = create(
        content,
        options.out,
        signer=who.signer,
        intermediates=who.intermediates,
        hash_name=who.hash_name,
        when=signing_time(now),
        epoch=source_date_epoch() or 0,
        compression=options.compression,
        bundle_format=options.format or content.format or "verity",
        step=step,
    )
    if options.keyring:
        try:
            warnings = list(verified_file(built.path, trusting(options, now), step).warnings)
        except BaseException:
            with suppress(OSError):
                built.path.unlink()
            raise
    else:
        warnings = list(doubts(who, now))
    facts: dict[str, object] = {
        "file": str(built.path),
        **manifest_facts(built.manifest, built.size, built.manifest_hash),
    }
    lines = [f"{built.path}: {megabytes(built.size)}, signed by {who.signer.certificate.subject.rfc4514_string()}"]
    if built.manifest.crypt_key:
        warnings.append(OPEN_KEY)
    return Report(lines, facts, warnings)


def _content(options: argparse.Namespace) -> Content:
    if are_given(options) == bool(options.directory):
        found = f"both the directory {options.directory} and options" if options.directory else "neither"
        raise BuildError(
            "sign.option-invalid",
            "the manifest must come from one place",
            details=f"found {found}",
            resolution="name either a directory that holds manifest.raucm, or --compatible, --image and the like",
        )
    return read_directory(options.directory) if options.directory else content_of(options)
