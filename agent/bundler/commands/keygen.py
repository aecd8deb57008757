"""The command ``ota-bundle keygen``."""

from __future__ import annotations

import argparse
from datetime import datetime

from agent.bundler.keygen import ALGORITHMS, DEFAULT_DAYS, make_pki
from agent.bundler.report import Report, Step

NAME = "keygen"
ABOUT = "make keys and certificates for development"
EXAMPLES = """\
makes
  root.pem                 the trust anchor: the keyring of the devices
  ca.pem ca.key            an authority under it: issues signers
  signer.pem signer.key    signs bundles (code signing)
and with --encryption
  recipient.pem            encrypts bundles for the devices that hold its key
  recipient.key            that key

examples:
  ota-bundle keygen pki --days 365
  ota-bundle keygen pki --algorithm rsa4096 --encryption

FOR DEVELOPMENT ONLY. Nothing but file permissions protects these keys.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """See Command."""
    parser.add_argument("directory", metavar="DIR", help="where the files go; made when missing")
    parser.add_argument("--days", type=int, default=DEFAULT_DAYS, help="validity of the certificates (%(default)s)")
    parser.add_argument("--algorithm", choices=ALGORITHMS, default="p256", help="of the keys (%(default)s)")
    parser.add_argument("--encryption", action="store_true", help="also make keys for encrypted bundles")
    parser.add_argument("--name", default="development", help="part of the names in the certificates (%(default)s)")


def run(options: argparse.Namespace, _step: Step, now: datetime) -> Report:
    """See Command."""
    pki = make_pki(
        options.directory,
        days=options.days,
        name=options.name,
        algorithm=options.algorithm,
        encryption=options.encryption,
        now=now,
    )
    made = {
        "root": ("root certificate, for the keyring of devices:  ", pki.root),
        "ca": ("certificate of the CA, for --intermediate:     ", pki.ca),
        "signer": ("certificate of the signer, for --cert:         ", pki.signer),
        "signer_key": ("private key of the signer, for --key:          ", pki.signer_key),
        "ca_key": ("private key of the CA:                         ", pki.ca_key),
        "recipient": ("certificate of the recipient, to encrypt to:   ", pki.recipient),
        "recipient_key": ("private key of the recipient, for devices:     ", pki.recipient_key),
    }
    return Report(
        lines=[f"{label}{path}" for label, path in made.values() if path],
        data={name: str(path) for name, (_, path) in made.items() if path},
        warnings=[
            "FOR DEVELOPMENT ONLY: the keys are plain files. Anybody who copies signer.key can update every device that "
            "trusts root.pem. Use keys in an HSM for devices that you sell"
        ],
    )
