"""``ota-agent doctor``: the findings for people or programs; the exit status tells the worst of them."""

from __future__ import annotations

import sys
import textwrap
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Sequence

from agent.cli.output import say, say_json
from agent.doctor.finding import Finding, Severity
from agent.doctor.run import diagnose, worst

_PATIENCE = 2.0  # seconds until a person wants to know what takes so long
_STATUS = {Severity.OK: 0, Severity.NOTE: 0, Severity.WARNING: 1, Severity.ERROR: 2}
_WIDTH = 110
_ERASE = "\r\x1b[K"  # ECMA-48: erase to the end of the line


def doctor(arguments: Namespace) -> int:
    """Examines the device; needs no daemon."""
    began = time.monotonic()
    shown = False

    def begin(what: str) -> None:
        nonlocal shown
        if time.monotonic() - began > _PATIENCE and sys.stderr.isatty():
            shown = True
            sys.stderr.write(f"{_ERASE}looking at {what} ...")
            sys.stderr.flush()

    findings = diagnose(arguments.config, may_write=not arguments.read_only, begin=begin)
    if shown:
        sys.stderr.write(_ERASE)
    if arguments.json:
        told = [each.to_json() for each in findings if arguments.all or each.severity is not Severity.OK]
        say_json({"worst": worst(findings).word, "checked": len(findings), "findings": told})
    else:
        say([*lines(findings, everything=arguments.all)])
    return _STATUS[worst(findings)]


def lines(findings: Sequence[Finding], *, everything: bool) -> Iterator[str]:
    """The worst first, what is in order only if asked for, and a summary."""
    for each in sorted(findings, key=lambda each: -each.severity):
        if each.severity is Severity.OK:
            if everything:
                yield _first(each)
            continue
        yield _first(each)
        yield from _indented("why", each.why)
        yield from _indented("fix", each.fix)
    count = Counter(each.severity for each in findings)
    words = {Severity.ERROR: "errors", Severity.WARNING: "warnings", Severity.NOTE: "notes"}
    yield f"{len(findings)} looked at: " + ", ".join(f"{count[level]} {word}" for level, word in words.items())


def _first(finding: Finding) -> str:
    code = f" [{finding.code}]" if finding.code else ""
    return f"{finding.severity.word:<8} {finding.id}: {finding.found}{code}".replace("\n", "\n         ")


def _indented(label: str, text: str) -> Iterator[str]:
    yield from textwrap.wrap(f"{label}: {text}", _WIDTH, initial_indent=" " * 9, subsequent_indent=" " * 14)
