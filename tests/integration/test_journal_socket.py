"""What journald really receives: a socket at its place, in a mount namespace of our own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_CODE = """
import logging, socket
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind("/run/systemd/journal/socket")
receiver.settimeout(5)
from agent import journal
handler = journal.JournalHandler()
logging.getLogger().addHandler(handler)
logging.getLogger("agent.daemon").error("it failed\\ntwice", extra={"OTA_ERROR_CODE": "health.failed", "OTA_SLOT": "B"})
print(receiver.recv(65536))
"""


@pytest.mark.root
@pytest.mark.req("C09")
def test_journald_receives_message_and_fields():
    inside = 'mount -t tmpfs none /run/systemd && mkdir -p /run/systemd/journal && exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "--mount", "/bin/sh", "-c", inside, sys.executable, _CODE],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    for part in ("MESSAGE", "it failed", "PRIORITY=3", "OTA_ERROR_CODE=health.failed", "OTA_SLOT=B", "MESSAGE_ID="):
        assert part in done.stdout
    assert "SYSLOG_IDENTIFIER=ota-agent" in done.stdout
