"""The demo itself, as a person runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ENTRY = Path(__file__).parents[2] / "agent" / "__main__.py"
COMMAND = [sys.executable, "-I", str(ENTRY), "demo"]


def processes_of(folder: Path) -> list[str]:
    """Command lines of everything that works in the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(folder) in words:
                found.append(words.replace("\0", " "))
    return found


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.req("S01", "S02", "S03", "S05", "S07", "S08", "S09")
def test_all_five_acts_end_as_told(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done = subprocess.run(
        [*COMMAND, "--dir", str(folder), "--size", "16"], capture_output=True, text=True, timeout=170, check=False
    )

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    report = json.loads((folder / "report.json").read_text())
    assert [act["act"] for act in report["acts"]] == [1, 2, 3, 4, 5]
    assert all(act["ok"] for act in report["acts"])
    assert report["ok"] is True
    assert report["seconds"] < 120
    assert set(report["acts"][0]) == {"act", "title", "expected", "seen", "ok", "seconds"}
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert not (folder / "slots").exists()
    assert processes_of(folder) == []


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_one_act_alone_reports_as_json_and_keeps_what_it_made(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    argv = [*COMMAND, "--dir", str(folder), "--size", "16", "--act", "3", "--json", "--keep"]
    for _ in range(2):  # the second run finds the folder of the first
        done = subprocess.run(argv, capture_output=True, text=True, timeout=110, check=False)
        assert done.returncode == 0, done.stderr[-6000:]
        report = json.loads(done.stdout)
        assert [(act["act"], act["ok"]) for act in report["acts"]] == [(3, True)]
        assert (folder / "slots" / "rootfs-a.img").exists()
        assert "Act 3" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_running(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "demo"
    # A shell has what it starts in the background ignore SIGINT, and that is inherited.
    command = ["env", "--default-signal", *COMMAND, "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 30
        while time.monotonic() < end and not (folder / "state" / "record.json").exists():
            time.sleep(0.02)
        assert len(processes_of(folder)) >= 2

        process.send_signal(number)

        output, _ = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "interrupted" in output
    assert processes_of(folder) == []


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_even_a_killed_demo_leaves_nothing_running(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with subprocess.Popen([*COMMAND, "--dir", str(folder)], stdout=subprocess.DEVNULL) as process:
        end = time.monotonic() + 30
        while time.monotonic() < end and not (folder / "state" / "record.json").exists():
            time.sleep(0.02)
        process.kill()
    end = time.monotonic() + 10
    while time.monotonic() < end and processes_of(folder):
        time.sleep(0.05)
    assert processes_of(folder) == []
