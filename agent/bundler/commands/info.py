"""The command ``ota-bundle info``."""

from __future__ import annotations

import argparse
from datetime import datetime

from agent.bundle.facts import manifest_facts
from agent.bundle.verify import UNSAFE_peek, verify_bundle
from agent.bundler.describe import bundle_facts, bundle_lines, manifest_lines
from agent.bundler.opening import add_decryption, add_trust, decryption_keys, opened, trusting
from agent.bundler.report import Report, Step

NAME = "info"
ABOUT = "show what a bundle is"
EXAMPLES = """\
examples:
  ota-bundle info update.raucb --keyring root.pem
  ota-bundle info update.raucb --keyring root.pem --json | jq -r .update.version
  ota-bundle info update.raucb --no-verify

The JSON is that of 'rauc info --output-format=json-2', and 'size', 'verified' and 'signer', which RAUC does not have.

Signature, certificates and hash tree are checked; 'ota-bundle verify' also checks every byte of the payload.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """See Command."""
    parser.add_argument("bundle", metavar="BUNDLE", help="the bundle")
    whom = parser.add_mutually_exclusive_group(required=True)
    add_trust(parser, "trusted certificates", whom)
    add_decryption(parser)
    whom.add_argument("--no-verify", action="store_true", help="show it even if nobody can vouch for it")


def run(options: argparse.Namespace, _step: Step, now: datetime) -> Report:
    """See Command."""
    with opened(options.bundle) as source:
        if not options.keyring:
            manifest, manifest_hash = UNSAFE_peek(source, decryption_keys(options))
            facts = {"verified": False, **manifest_facts(manifest, source.size, manifest_hash)}
            warning = "NOT VERIFIED: anybody may have written this. Name the --keyring of the device to know better"
            return Report(manifest_lines(manifest, source.size, manifest_hash), facts, [warning])
        trust = trusting(options, now)
        bundle = verify_bundle(source, trust.policy(), trust.when, keys=trust.keys)
        return Report(bundle_lines(bundle), bundle_facts(bundle), bundle.warnings)
