"""The command ``ota-bundle create``."""

from __future__ import annotations

import argparse
from contextlib import suppress
from datetime import datetime

from agent.bundle.strength import check_certificate
from agent.bundler.build import COMPRESSIONS, create
from agent.bundler.describe import manifest_facts, megabytes
from agent.bundler.keys import certificates, doubts, private_key
from agent.bundler.opening import add_trust, check_all, opened, trusting, verified
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

examples:
  ota-bundle create content update.raucb --cert signer.pem --key signer.key --intermediate ca.pem
  ota-bundle create content update.raucb --cert signer.pem --key signer.key --compression zstd --keyring root.pem

The passphrase of an encrypted key is taken from the environment variable OTA_BUNDLE_PASSPHRASE.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """See Command."""
    parser.add_argument("directory", metavar="DIR", help="the content: manifest.raucm and the images")
    parser.add_argument("out", metavar="OUT", help="the bundle; must not exist")
    parser.add_argument("--cert", required=True, metavar="PEM", help="certificate of the signer")
    parser.add_argument("--key", required=True, metavar="PEM", help="private key of the signer")
    parser.add_argument(
        "--intermediate", action="append", default=[], metavar="PEM", help="authorities to put in; repeatable"
    )
    parser.add_argument("--compression", choices=COMPRESSIONS, default="gzip", help="of the squashfs (%(default)s)")
    parser.add_argument(
        "--format", choices=("verity", "crypt", "plain"), default="verity", help="of the bundle (%(default)s)"
    )
    add_trust(parser, "verify the finished bundle with these trusted certificates")


def run(options: argparse.Namespace, step: Step, now: datetime) -> Report:
    """See Command."""
    certificate = certificates(options.cert)[0]
    check_certificate(certificate, is_anchor=True)
    built = create(
        options.directory,
        options.out,
        cert=certificate,
        key=private_key(options.key),
        intermediates=[each for path in options.intermediate for each in certificates(path)],
        compression=options.compression,
        bundle_format=options.format,
        step=step,
    )
    if options.keyring:
        try:
            with opened(options.out) as source:
                check_all(verified(source, trusting(options, now), step), step)
        except BaseException:
            with suppress(OSError):
                built.path.unlink()
            raise
    facts: dict[str, object] = {"bundle": str(built.path), "manifest_hash": built.manifest_hash}
    facts |= manifest_facts(built.manifest, built.size)
    lines = [f"{built.path}: {megabytes(built.size)}, signed by {certificate.subject.rfc4514_string()}"]
    warnings = [] if options.keyring else list(doubts(certificate, now))
    if built.manifest.crypt_key:
        warnings.append("the key to the payload lies open in the bundle: close it with 'ota-bundle encrypt'")
    return Report(lines, facts, warnings)
