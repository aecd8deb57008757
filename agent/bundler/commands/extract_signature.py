"""The command ``ota-bundle extract-signature``."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

from agent.bundle import cms
from agent.bundler.ending import copy_start, unfinished, write_new
from agent.bundler.opening import add_decryption, decryption_keys, open_file
from agent.bundler.report import Report, Step
from agent.bundler.resigning import signature_of

NAME = "extract-signature"
ABOUT = "take the signature out of a bundle, and what it signs"
EXAMPLES = """\
SIG gets the CMS SignedData, in DER; out of its envelope if the bundle is encrypted. Nothing is verified.

For signing with a key on a machine without a network:

1. here: what is to be signed, the manifest (verity) or the whole payload (plain)
  ota-bundle extract-signature unsigned.raucb old.cms --content to-be-signed

2. there: verity, and (with -detached in the place of -nodetach) plain
  openssl cms -sign -binary -nosmimecap -nodetach -outform DER -md sha256 -in to-be-signed -out new.cms \\
      -signer signer.pem -inkey signer.key -certfile ca.pem

3. here again
  ota-bundle replace-signature unsigned.raucb new.cms release.raucb --keyring root.pem

The bundle to start from carries the signature of a development key ('ota-bundle keygen').
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """See Command."""
    parser.add_argument("bundle", metavar="BUNDLE", help="the bundle")
    parser.add_argument("signature", metavar="SIG", help="the signature; must not exist")
    add_decryption(parser)
    parser.add_argument("--content", metavar="FILE", help="write the signed bytes here; must not exist")


def run(options: argparse.Namespace, step: Step, now: datetime) -> Report:
    """See Command."""
    facts: dict[str, object] = {"signature": options.signature}
    lines = [options.signature]
    with open_file(options.bundle) as (source, fd):
        trailer = signature_of(source, decryption_keys(options))
        text = cms.parse_signed_data(trailer.cms).content
        if options.content:
            with unfinished(Path(options.content)) as file:
                if text is None:
                    copy_start(fd, trailer.payload_size, file, step)
                else:
                    file.write_bytes(text)
            facts |= {"content": options.content}
            lines.append(f"{options.content}: {'the payload' if text is None else 'the manifest'}")
        write_new(Path(options.signature), trailer.cms)
    return Report(lines, {**facts, "detached": text is None})
