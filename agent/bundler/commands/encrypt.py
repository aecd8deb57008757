"""The command ``ota-bundle encrypt``."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

from agent.bundle.enveloped import is_enveloped
from agent.bundle.layout import read_trailer
from agent.bundler.describe import megabytes
from agent.bundler.ending import append_signature, copy_start, unfinished
from agent.bundler.envelope import envelop, recipient_doubts
from agent.bundler.faults import BuildError
from agent.bundler.keys import certificates
from agent.bundler.opening import add_trust, open_file, trusting, verified
from agent.bundler.report import Report, Step

NAME = "encrypt"
ABOUT = "encrypt a bundle of the crypt format for its recipients"
EXAMPLES = """\
A bundle made with --format crypt has an encrypted payload, and the key to it in its signature. This closes the signature
for those who may open it: anybody who holds the private key of one of the certificates. The payload stays as it is, and
so does the signature inside. Recipients need not be in the PKI of the signer, and may share a key or have one each.

examples:
  ota-bundle create content open.raucb --format crypt --cert signer.pem --key signer.key
  ota-bundle encrypt open.raucb update.raucb --keyring root.pem --to fleet.pem
  ota-bundle encrypt open.raucb update.raucb --keyring root.pem --to board-1.pem --to board-2.pem --to many-more.pem
  ota-bundle verify update.raucb --keyring root.pem --key fleet.key

A PEM file may hold many certificates. 64 KiB hold some 90 recipients with RSA 4096 or 250 with P-256.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """See Command."""
    parser.add_argument("bundle", metavar="IN", help="a signed bundle of the crypt format, not encrypted yet")
    parser.add_argument("out", metavar="OUT", help="the encrypted bundle; must not exist")
    parser.add_argument(
        "--to", action="append", required=True, metavar="PEM", help="certificates of recipients; repeatable"
    )
    add_trust(parser, required=True)


def run(options: argparse.Namespace, step: Step, now: datetime) -> Report:
    """See Command."""
    found = [each for path in options.to for each in certificates(path)]
    with unfinished(Path(options.out)) as copy, open_file(options.bundle) as (source, fd):
        trailer = read_trailer(source)
        if is_enveloped(trailer.cms):
            raise _wrong("it is encrypted already; take the bundle that 'ota-bundle create' made")
        bundle = verified(source, trusting(options, now), step)
        if bundle.format != "crypt":
            raise _wrong(f"its format is {bundle.format}")
        closed = envelop(trailer.cms, found)
        copy_start(fd, trailer.payload_size, copy, step)
        append_signature(copy, closed)
        size = copy.stat().st_size
    many = f"{len(found)} recipient{'s' if len(found) != 1 else ''}"
    names = [each.subject.rfc4514_string() for each in found]
    return Report(
        [
            f"{options.out}: {megabytes(size)}, for {many}",
            *(f"  {name}" for name in names),
        ],
        {"file": options.out, "size": size, "recipients": names, "manifest-hash": bundle.manifest_hash},
        [doubt for each in found for doubt in recipient_doubts(each, now)],
    )


def _wrong(details: str) -> BuildError:
    return BuildError(
        "encrypt.format",
        "the bundle cannot be encrypted",
        details=details,
        resolution="create it with --format crypt",
    )
