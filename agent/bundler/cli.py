"""The command ``ota-bundle``: makes and examines bundles on a build host or in CI.

Exit status: 0 done, 1 refused or failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from agent.bundler.commands import (
    create,
    encrypt,
    extract,
    extract_signature,
    info,
    keygen,
    replace_signature,
    resign,
    verify,
)
from agent.bundler.progress import ProgressBar
from agent.bundler.report import Command, Report
from agent.errors import OtaError, explain

COMMANDS: Sequence[Command] = (
    keygen,
    create,
    encrypt,
    info,
    verify,
    extract,
    resign,
    extract_signature,
    replace_signature,
)

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


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status.

    Args:
        argv: the arguments after the program's name; those of the process when None.
    """
    options = parser().parse_args(argv)
    bar = ProgressBar(sys.stderr)
    try:
        report: Report = options.run(options, bar, datetime.now(UTC))
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


def parser() -> argparse.ArgumentParser:
    """The whole command line; the manual page is made from it too."""
    top = argparse.ArgumentParser(
        prog="ota-bundle",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        each = found.add_parser(
            command.NAME,
            help=command.ABOUT,
            description=f"{command.ABOUT[0].upper()}{command.ABOUT[1:]}.",
            epilog=command.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        each.add_argument("--json", action="store_true", help="print the result as JSON")
        command.arguments(each)
        each.set_defaults(run=command.run)
    return top


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
