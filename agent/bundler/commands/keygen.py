"""The command ``ota-bundle keygen``."""

from __future__ import annotations

import argparse
from datetime import datetime

from agent.bundler.keygen import DEFAULT_DAYS, make_pki
from agent.bundler.report import Report, Step

NAME = "keygen"
ABOUT = "make keys and certificates for development"
EXAMPLES = """\
makes  root.pem                 the trust anchor: the keyring of the devices
       ca.pem ca.key            an authority under it: issues signers
       signer.pem signer.key    signs bundles (code signing)

example:
  ota-bundle keygen pki --days 365

FOR DEVELOPMENT ONLY. Nothing but file permissions protects these keys.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """See Command."""
    parser.add_argument("directory", metavar="DIR", help="where the files go; made when missing")
    parser.add_argument("--days", type=int, default=DEFAULT_DAYS, help="validity of the certificates (%(default)s)")
    parser.add_argument("--name", default="development", help="part of the names in the certificates (%(default)s)")


def run(options: argparse.Namespace, _step: Step, now: datetime) -> Report:
    """See Command."""
    pki = make_pki(options.directory, days=options.days, name=options.name, now=now)
    return Report(
        lines=[
            f"root certificate, for the keyring of devices:  {pki.root}",
            f"certificate of the CA, for --intermediate:     {pki.ca}",
            f"certificate of the signer, for --cert:         {pki.signer}",
            f"private key of the signer, for --key:          {pki.signer_key}",
            f"private key of the CA:                         {pki.ca_key}",
        ],
        data={
            "root": str(pki.root),
            "ca": str(pki.ca),
            "ca_key": str(pki.ca_key),
            "signer": str(pki.signer),
            "signer_key": str(pki.signer_key),
        },
        warnings=[
            "FOR DEVELOPMENT ONLY: the keys are plain files. Anybody who copies signer.key can update every device that "
            "trusts root.pem. Use keys in an HSM for devices that you sell"
        ],
    )
