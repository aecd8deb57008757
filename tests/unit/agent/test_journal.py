"""Promises of the log: searchable fields, one id for each kind of event, and never an exception."""

from __future__ import annotations

import io
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent import journal
from agent.daemon.machine import State

ROOT = Path(journal.__file__).parent.parent


def record(level: int = logging.INFO, message: str = "hello", **extra: object) -> logging.LogRecord:
    return logging.getLogger("agent.test").makeRecord("agent.test", level, __file__, 1, message, (), None, extra=extra)


def test_fields_and_priority_are_sent():
    sent: list[tuple[str, dict]] = []
    handler = journal.JournalHandler(lambda message, **fields: sent.append((message, fields)))
    handler.emit(record(logging.WARNING, OTA_STATE="staging", OTA_SLOT="B", OTA_BUNDLE_VERSION="2.0", OTA_ACTION_ID=""))
    assert sent == [
        (
            "hello",
            {
                "SYSLOG_IDENTIFIER": "ota-agent",
                "PRIORITY": "4",
                "OTA_LOGGER": "agent.test",
                "OTA_STATE": "staging",
                "OTA_SLOT": "B",
                "OTA_BUNDLE_VERSION": "2.0",
                "MESSAGE_ID": journal.MESSAGE_IDS["staging"],
            },
        )
    ]


def test_an_error_is_told_as_an_error_in_whatever_state():
    found = journal.fields(record(logging.ERROR, OTA_STATE="trial", OTA_ERROR_CODE="health.failed"))
    assert (found["MESSAGE_ID"], found["PRIORITY"]) == (journal.MESSAGE_IDS["error"], "3")
    assert "MESSAGE_ID" not in journal.fields(record())


def test_every_state_has_an_id_and_no_two_share_one():
    assert {state.value for state in State} <= set(journal.MESSAGE_IDS)
    assert len(set(journal.MESSAGE_IDS.values())) == len(journal.MESSAGE_IDS)
    assert all(re.fullmatch("[0-9a-f]{32}", value) for value in journal.MESSAGE_IDS.values())


def test_the_catalog_explains_exactly_these_ids():
    text = (ROOT / "systemd" / "ota-agent.catalog").read_text()
    assert re.findall(r"^-- ([0-9a-f]{32})$", text, re.MULTILINE) == list(journal.MESSAGE_IDS.values())


def test_journald_understands_the_catalog(tmp_path):
    for place in ("usr/lib/systemd/catalog", "var/lib/systemd/catalog"):
        (tmp_path / place).mkdir(parents=True)
    shutil.copy(ROOT / "systemd" / "ota-agent.catalog", tmp_path / "usr/lib/systemd/catalog")
    root = f"--root={tmp_path}"
    made = subprocess.run(["journalctl", "--update-catalog", root], capture_output=True, text=True, check=True)
    assert made.stderr == ""
    told = subprocess.run(["journalctl", "--dump-catalog", root], capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^-- ([0-9a-f]{32})$", told, re.MULTILINE)) == set(journal.MESSAGE_IDS.values())


@pytest.mark.parametrize("error", [OSError("journald is gone"), ValueError("bad field")])
def test_what_cannot_be_sent_goes_to_standard_error(capsys, error):
    def send(*_: object, **__: object) -> None:
        raise error

    journal.JournalHandler(send).emit(record(logging.ERROR, "two\nlines"))
    assert capsys.readouterr().err == "<3>two\n<3>lines\n"


def test_plain_text_for_people():
    stream = io.StringIO()
    journal.StderrHandler(stream).emit(record(logging.WARNING, "careful"))
    assert stream.getvalue() == "warning: careful\n"


@pytest.mark.parametrize(("level", "number"), [(50, 2), (40, 3), (30, 4), (20, 6), (10, 7), (5, 7)])
def test_levels_are_syslog_priorities(level, number):
    assert journal.priority(level) == number


def _run(code: str, environment: str = "") -> str:
    done = subprocess.run(
        ["/bin/sh", "-c", f'{environment} exec "$0" -c "$1"', sys.executable, code],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return done.stderr + done.stdout


def test_a_daemon_started_by_hand_never_writes_to_the_journal_of_its_machine():
    code = "from agent import journal; h = journal.setup(); print(type(h).__name__)"
    assert _run(code).strip() == "StderrHandler"
    assert _run(code, "JOURNAL_STREAM=1:2").strip() == "StderrHandler", "the stream of another process"
    assert _run(code, "JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2)").strip() == "JournalHandler"
