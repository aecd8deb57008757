"""What systemd itself says about the sandboxes, and what the manual says about that."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LIMITS = {
    "ota-agent-fetch@.service": 1.5,
    "ota-agent-install@.service": 1.5,
    "ota-agent-find@.service": 2.0,
    "ota-agent.service": 4.0,
}


def exposure(name: str) -> float:
    """The overall exposure level, from 0 to 10; the systemd that says so is in the manual's table, too."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=100", ROOT / "systemd" / name],
        check=True, capture_output=True, text=True, env={"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    found = re.search(r"Overall exposure level for .*: ([0-9.]+) ", done.stdout)
    assert found, done.stdout
    return float(found[1])


@pytest.mark.req("C15")
@pytest.mark.parametrize("name", LIMITS)
def test_the_exposure_stays_below_its_limit(name: str) -> None:
    assert exposure(name) <= LIMITS[name]


@pytest.mark.req("C15")
@pytest.mark.parametrize("name", LIMITS)
def test_the_manual_tells_the_exposure(name: str) -> None:
    rows = re.findall(r"^\| `([^`]+)` \|[^|]*\| ([0-9.]+) \|", (ROOT / "docs/systemd.md").read_text(), re.MULTILINE)
    assert dict(rows)[name] == str(exposure(name))
