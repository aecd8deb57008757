"""The manual of the audit log: its commands do what it says, without any of our code."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from support.audit import filled

from agent.audit.events import EVENTS

PAGE = Path(__file__).parents[4] / "docs" / "audit.md"
FIXTURE = Path(__file__).parent / "fixtures" / "schema-1.jsonl"


def commands() -> str:
    """The script that an auditor is given."""
    (script,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(script)


def audited(lines: list[bytes], directory: Path) -> str:
    (directory / "audit.jsonl").write_bytes(b"".join(lines))
    done = subprocess.run(["sh", "-c", commands()], cwd=directory, capture_output=True, text=True, check=False)
    return "in order" if (done.returncode, done.stdout) == (0, "in order\n") else done.stdout or "not in order"


@pytest.mark.req("C16", "N06")
def test_an_auditor_verifies_an_export_with_jq_and_sha256sum(tmp_path: Path) -> None:
    lines = list(filled(tmp_path / "log", 20).export())
    assert audited(lines, tmp_path) == "in order"
    assert audited([*lines[:3], lines[3].replace(b"version", b"Version"), *lines[4:]], tmp_path).startswith(
        "not in order"
    )
    assert audited([*lines[:3], *lines[4:]], tmp_path).startswith("not in order")
    assert audited([*lines[:-2], lines[-1]], tmp_path) == "not in order", "cut off at the end"


def test_also_one_with_texts_that_need_care(tmp_path: Path) -> None:
    assert audited(FIXTURE.read_bytes().splitlines(keepends=True), tmp_path) == "in order"


def test_the_line_that_shows_an_export_does(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").write_bytes(FIXTURE.read_bytes())
    (line,) = re.findall(r"to read it: `(.*?)`\.", PAGE.read_text())
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True)
    rows = [json.loads(row) for row in done.stdout.rstrip("\n").split("\n")]
    assert len(rows) == 18 and rows[0][0] == 11 and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", rows[0][1])


def test_every_event_is_in_the_manual_and_no_other() -> None:
    table = PAGE.read_text().partition("| event | subject |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`([a-z-]+)`", row.split("|")[1])}
    assert named == set(EVENTS)
