"""The command ``ota-bundle verify``."""

from __future__ import annotations

import argparse
from datetime import datetime

from agent.bundler.describe import bundle_facts, bundle_lines
from agent.bundler.opening import add_decryption, add_trust, check_all, opened, trusting, verified
from agent.bundler.report import Report, Step

NAME = "verify"
ABOUT = "check every byte of a bundle"
EXAMPLES = """\
examples:
  ota-bundle verify update.raucb --keyring root.pem
  ota-bundle verify update.raucb --keyring root.pem --time 2030-01-01T00:00:00Z    will it still be accepted then?
  ota-bundle verify update.raucb --keyring root.pem --check-purpose smimesign      certificates made for RAUC's default
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """See Command."""
    parser.add_argument("bundle", metavar="BUNDLE", help="the bundle")
    add_trust(parser, required=True)
    add_decryption(parser)


def run(options: argparse.Namespace, step: Step, now: datetime) -> Report:
    """See Command."""
    with opened(options.bundle) as source:
        bundle = verified(source, trusting(options, now), step)
        check_all(bundle, step)
        facts = {**bundle_facts(bundle), "complete": True}
        return Report([*bundle_lines(bundle), "every byte is good"], facts, bundle.warnings)
