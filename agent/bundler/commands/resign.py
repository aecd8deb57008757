"""The command ``ota-bundle resign``."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

from agent.bundle import cms
from agent.bundler.build import OPEN_KEY, sign_plain
from agent.bundler.describe import bundle_facts
from agent.bundler.ending import append_signature, copy_start, unfinished
from agent.bundler.environment import signing_time
from agent.bundler.keys import add_signing, doubts, signing
from agent.bundler.opening import (
    Trusting,
    add_decryption,
    add_trust,
    check_signer,
    decryption_keys,
    open_file,
    trusting,
    verified_file,
)
from agent.bundler.report import Report, Step
from agent.bundler.resigning import signature_of
from agent.bundler.sign_cms import sign

NAME = "resign"
ABOUT = "verify a bundle and sign it anew"
EXAMPLES = """\
The payload and the manifest stay as they are, so that the bundle keeps its hash. An encrypted bundle needs --decrypt-key, and
comes out open: encrypt it again.

a bundle that was tested with the development key, for the devices in the field:
  ota-bundle resign tested.raucb release.raucb --keyring dev-root.pem \\
      --cert signer.pem --key signer.key --intermediate ca.pem --signing-keyring root.pem

one whose certificate has expired meanwhile, checked for the day on which it was made:
  ota-bundle resign old.raucb new.raucb --keyring root.pem --time 2025-03-01 --cert signer.pem --key signer.key
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """See Command."""
    parser.add_argument("bundle", metavar="IN", help="the bundle as it is")
    parser.add_argument("out", metavar="OUT", help="the new bundle; must not exist")
    add_trust(parser, "the certificates that IN must be trusted by", required=True)
    add_decryption(parser, "--decrypt-key")
    add_signing(parser)
    parser.add_argument("--signing-keyring", metavar="PEM", help="the certificates that OUT must be trusted by")


def run(options: argparse.Namespace, step: Step, now: datetime) -> Report:
    """See Command."""
    who = signing(options)
    new_trust = None
    if options.signing_keyring:
        new_trust = Trusting(options.signing_keyring, options.check_purpose, now)
        check_signer(who, new_trust)
    when = signing_time(now)
    with unfinished(Path(options.out)) as bundle:
        with open_file(options.bundle) as (source, fd):
            copy_start(fd, source.size, bundle, step)
        # What is checked is the copy: nobody else can change it between this and the new signature.
        old = verified_file(bundle, trusting(options, now), step)
        with open_file(str(bundle)) as (source, _):
            trailer = signature_of(source, decryption_keys(options))
        text = cms.parse_signed_data(trailer.cms).content
        with bundle.open("rb+") as file:
            file.truncate(trailer.payload_size)
        if text is None:
            signature = sign_plain(bundle, who.signer, who.intermediates, when=when, hash_name=who.hash_name, step=step)
        else:
            signature = sign(text, who.signer, who.intermediates, when=when, hash_name=who.hash_name)
        append_signature(bundle, signature)
        new = verified_file(bundle, new_trust, step) if new_trust else None
    subject = who.signer.certificate.subject.rfc4514_string()
    facts = {"file": options.out, **bundle_facts(new or old)}
    if new is None:
        facts |= {"verified": False, "signer": {"subject": subject}, "size": Path(options.out).stat().st_size}
    lines = [f"{options.out}: was signed by {old.signer.subject}, is signed by {subject}"]
    warnings = [] if new else list(doubts(who, now))
    if old.manifest.crypt_key:
        warnings.append(OPEN_KEY)
    return Report(lines, facts, warnings)
