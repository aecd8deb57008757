"""The reference pages say what the tables say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.bus.interface import read
from agent.config_table import SETTINGS

ROOT = Path(__file__).parents[3]


@pytest.mark.req("C45")
def test_the_generated_pages_are_up_to_date():
    done = subprocess.run([sys.executable, "tools/gen_docs.py", "--check"], check=False, capture_output=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout.decode()


def test_every_setting_and_member_is_explained():
    settings = (ROOT / "docs" / "configuration.md").read_text()
    interface = (ROOT / "docs" / "dbus.md").read_text()
    assert all(f"| `{row.key}` |" in settings for row in SETTINGS if row.key != "*")
    for each in read():
        assert all(f"| `{row.name}` |" in interface for row in (*each.properties, *each.methods, *each.signals))


def test_every_setting_is_explained_by_a_sentence():
    for row in SETTINGS:
        assert row.help.endswith("."), row.key
        assert "|" not in row.help
