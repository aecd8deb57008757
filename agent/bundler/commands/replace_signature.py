"""The command ``ota-bundle replace-signature``."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

from agent.bundle.layout import MAX_SIGNATURE
from agent.bundler.describe import bundle_facts, bundle_lines
from agent.bundler.ending import unfinished
from agent.bundler.opening import add_trust, open_file, trusting, verified_file
from agent.bundler.report import Report, Step
from agent.bundler.resigning import check_consistent, joined

NAME = "replace-signature"
ABOUT = "give a bundle a signature that was made elsewhere"
EXAMPLES = """\
example:
  ota-bundle replace-signature unsigned.raucb new.cms release.raucb --keyring root.pem

SIG is a CMS SignedData in DER, as 'openssl cms -sign -binary -outform DER' writes it; 'ota-bundle extract-signature --help'
shows the whole way. OUT appears only when signature, manifest and payload belong together; with --keyring, only when
devices will trust it.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """See Command."""
    parser.add_argument("bundle", metavar="IN", help="the bundle as it is")
    parser.add_argument("signature", metavar="SIG", help="the new signature")
    parser.add_argument("out", metavar="OUT", help="the new bundle; must not exist")
    add_trust(parser, "verify the new bundle with these trusted certificates")


def run(options: argparse.Namespace, step: Step, now: datetime) -> Report:
    """See Command."""
    with open(options.signature, "rb") as file:
        signature = file.read(MAX_SIGNATURE + 1)
    with unfinished(Path(options.out)) as bundle:
        with open_file(options.bundle) as (source, fd):
            joined(source, fd, signature, bundle, step)
        if options.keyring:
            found = verified_file(bundle, trusting(options, now), step)
            return Report(bundle_lines(found), {"file": options.out, **bundle_facts(found)})
        with open_file(str(bundle)) as (new, _):
            check_consistent(new, step)
    warning = "NOT VERIFIED: the signature fits, but nobody was asked whether devices trust it. Name their --keyring"
    return Report([options.out], {"file": options.out, "verified": False}, [warning])
