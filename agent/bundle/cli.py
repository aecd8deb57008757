"""The command ``ota-bundle``: makes and examines bundles on a build host or in CI.

Exit status: 0 done, 1 refused or failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from agent.bundle import commands
from agent.bundle.build import COMPRESSIONS
from agent.bundle.keygen import DEFAULT_DAYS
from agent.bundle.progress import ProgressBar
from agent.errors import OtaError, explain

_ABOUT = "Makes and examines the bundles that ota-agent and RAUC install."

_EXAMPLES = """\
a first bundle, from nothing:
  ota-bundle keygen pki
  mkdir content && cp rootfs.ext4 content/
  printf '[update]\\ncompatible=my-board\\nversion=1\\n[image.rootfs]\\nfilename=rootfs.ext4\\n' > content/manifest.raucm
  ota-bundle create content update-1.raucb --cert pki/signer.pem --key pki/signer.key --intermediate pki/ca.pem
  ota-bundle verify update-1.raucb --keyring pki/root.pem

'ota-bundle COMMAND --help' tells more about each command.
"""

_CREATE_EXAMPLES = """\
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

_INFO_EXAMPLES = """\
examples:
  ota-bundle info update.raucb --keyring root.pem
  ota-bundle info update.raucb --keyring root.pem --json | jq -r .version
  ota-bundle info update.raucb --no-verify

Signature, certificates and hash tree are checked; 'ota-bundle verify' also checks every byte of the payload.
"""

_VERIFY_EXAMPLES = """\
examples:
  ota-bundle verify update.raucb --keyring root.pem
  ota-bundle verify update.raucb --keyring root.pem --time 2030-01-01T00:00:00Z    will it still be accepted then?
  ota-bundle verify update.raucb --keyring root.pem --check-purpose smimesign      certificates made for RAUC's default
"""

_EXTRACT_EXAMPLES = """\
example:
  ota-bundle extract update.raucb out --keyring root.pem

OUT must not exist. Every byte is checked on the way; when a check fails, nothing is left there.
"""

_KEYGEN_EXAMPLES = """\
makes  root.pem                 the trust anchor: the keyring of the devices
       ca.pem ca.key            an authority under it: issues signers
       signer.pem signer.key    signs bundles (code signing)

example:
  ota-bundle keygen pki --days 365

FOR DEVELOPMENT ONLY. Nothing but file permissions protects these keys.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status.

    Args:
        argv: the arguments after the program's name; those of the process when None.
    """
    options = _parser().parse_args(argv)
    bar = ProgressBar(sys.stderr)
    try:
        report = _run(options, bar)
    except OtaError as error:
        bar.clear()
        return _failed(explain(error), as_json=options.json)
    except OSError as error:
        bar.clear()
        facts = {"code": "storage.failed", "brief": "reading or writing failed", "details": str(error)}
        return _failed(facts, as_json=options.json)
    except KeyboardInterrupt:
        bar.clear()
        print("interrupted", file=sys.stderr)
        return 1
    bar.clear()
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if options.json:
        print(json.dumps({"ok": True, **report.data, "warnings": list(report.warnings)}, indent=2))
    else:
        print("\n".join(report.lines))
    return 0


def _run(options: argparse.Namespace, bar: ProgressBar) -> commands.Report:
    now = datetime.now(UTC)
    if options.command == "keygen":
        return commands.keygen(options.directory, options.days, options.name, now)
    keyring = options.keyring
    trusting = commands.Trusting(keyring, options.check_purpose, options.time or now) if keyring else None
    if options.command == "create":
        return commands.create_bundle(
            options.directory,
            options.out,
            cert=options.cert,
            key=options.key,
            intermediates=options.intermediate,
            compression=options.compression,
            bundle_format=options.format,
            trusting=trusting,
            now=now,
            step=bar,
        )
    if options.command == "info" or trusting is None:
        return commands.info(options.bundle, trusting)
    if options.command == "verify":
        return commands.verify(options.bundle, trusting, bar)
    return commands.extract(options.bundle, options.out, trusting, bar)


def _failed(error: Mapping[str, object], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"ok": False, "error": error}, indent=2))
        return 1
    print(f"error: {error['brief']} [{error['code']}]", file=sys.stderr)
    if error.get("details"):
        print(f"  {error['details']}", file=sys.stderr)
    if error.get("resolution"):
        print(f"next: {error['resolution']}", file=sys.stderr)
    return 1


# --- arguments ---------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ota-bundle",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    each = _command(found, "keygen", "make keys and certificates for development", _KEYGEN_EXAMPLES)
    each.add_argument("directory", metavar="DIR", help="where the files go; made when missing")
    each.add_argument("--days", type=int, default=DEFAULT_DAYS, help="validity of the certificates (%(default)s)")
    each.add_argument("--name", default="development", help="part of the names in the certificates (%(default)s)")

    each = _command(found, "create", "make a signed bundle", _CREATE_EXAMPLES)
    each.add_argument("directory", metavar="DIR", help="the content: manifest.raucm and the images")
    each.add_argument("out", metavar="OUT", help="the bundle; must not exist")
    each.add_argument("--cert", required=True, metavar="PEM", help="certificate of the signer")
    each.add_argument("--key", required=True, metavar="PEM", help="private key of the signer")
    each.add_argument(
        "--intermediate", action="append", default=[], metavar="PEM", help="authorities to put in; repeatable"
    )
    each.add_argument("--compression", choices=COMPRESSIONS, default="gzip", help="of the squashfs (%(default)s)")
    each.add_argument("--format", choices=("verity", "plain"), default="verity", help="of the bundle (%(default)s)")
    _add_trust(each, "verify the finished bundle with these trusted certificates")

    each = _command(found, "info", "show what a bundle is", _INFO_EXAMPLES)
    each.add_argument("bundle", metavar="BUNDLE")
    whom = each.add_mutually_exclusive_group(required=True)
    _add_trust(each, "trusted certificates", whom)
    whom.add_argument("--no-verify", action="store_true", help="show it even if nobody can vouch for it")

    each = _command(found, "verify", "check every byte of a bundle", _VERIFY_EXAMPLES)
    each.add_argument("bundle", metavar="BUNDLE")
    _add_trust(each, "trusted certificates", required=True)

    each = _command(found, "extract", "unpack a bundle after checking it", _EXTRACT_EXAMPLES)
    each.add_argument("bundle", metavar="BUNDLE")
    each.add_argument("out", metavar="OUT", help="a directory; must not exist")
    _add_trust(each, "trusted certificates", required=True)
    return parser


def _command(
    found: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str, examples: str
) -> argparse.ArgumentParser:
    each = found.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    each.add_argument("--json", action="store_true", help="print the result as JSON")
    return each


def _add_trust(
    parser: argparse.ArgumentParser,
    about: str,
    group: argparse._MutuallyExclusiveGroup | None = None,
    *,
    required: bool = False,
) -> None:
    (group or parser).add_argument("--keyring", required=required, metavar="PEM", help=about)
    parser.add_argument(
        "--check-purpose",
        choices=("codesign", "smimesign", "any"),
        default="codesign",
        help="what the signer's certificate must be good for (%(default)s)",
    )
    parser.add_argument("--time", type=_time, metavar="ISO", help="check the certificates for this time (now)")


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
