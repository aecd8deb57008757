"""Quick flows are tests like all others; the scenarios exist only if ``OTA_BOOT=all`` asks for them (docs/testing-boots.md).

Then there is a report in the end, see ``boot.lab.evidence``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from boot.lab import evidence

_ALL = os.environ.get("OTA_BOOT") == "all"
_REPORT = Path(__file__).parents[2] / "build/boot-report"
collect_ignore = [] if _ALL else ["scenarios"]
_began = pytest.StashKey[float]()
_failed = pytest.StashKey[bool]()


def _reports(config: pytest.Config) -> bool:
    """Whether this process starts the others, and they run tests."""
    return _ALL and not hasattr(config, "workerinput") and not config.option.collectonly


def pytest_sessionstart(session: pytest.Session) -> None:
    if _reports(session.config):
        evidence.begin(_REPORT)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "setup":
        item.stash[_began] = call.start
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    if call.when == "teardown":
        ids = [name for mark in item.iter_markers("req") for name in mark.args]
        outcome = "failed" if item.stash[_failed] else "passed"
        evidence.keep(evidence.Verdict(item.nodeid, outcome, ids, item.stash[_began], time.time(), os.getpid()))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _reports(session.config):
        evidence.finish(_REPORT)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _reports(config):
        terminalreporter.write_line(f"every boot of it: {_REPORT / 'report.html'}")
