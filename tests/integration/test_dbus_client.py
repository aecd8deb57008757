"""What the documents show to other programmers really runs: the client, the commands and the lines of Python."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bus import private_bus, served

from agent.bus.interface import read
from agent.daemon.dbus_names import BUS_NAME

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with private_bus(tmp_path) as address:
        yield address


def blocks(page: str, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


class Client:
    """The example, on a terminal."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.said = ""

    def hears(self, text: str) -> str:
        end = time.monotonic() + 20
        assert self.process.stdout is not None
        while text not in self.said:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"it said only {self.said!r}"
            self.said += os.read(self.process.stdout.fileno(), 4096).decode()
        said, _, self.said = self.said.partition(text)
        return said

    def types(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()


@pytest.mark.req("C06", "C07")
def test_the_client_of_the_documents_shows_asks_and_answers(address, tmp_path):
    (program,) = blocks("dbus-client.md", "python")
    assert program.count("\n") < 100
    (tmp_path / "client.py").write_text(program)
    environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address}
    argv = [sys.executable, str(tmp_path / "client.py")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        client = Client(process)
        client.hears("the update agent is not running")
        with served(address) as agent:
            assert agent.stdin is not None

            def publish(name: str, value: str) -> None:
                agent.stdin.write(f"publish {name} {value}\n")
                agent.stdin.flush()

            client.hears("1.0 in slot A: idle\n")
            publish("Update.Version", "2.0")
            publish("State", "waiting")
            client.hears("1.0 in slot A: waiting\n")
            for word, asked in (
                ("later", "postpone 3600"),
                ("yes", "approve "),
                ("now", "install_now"),
                ("no", "deny"),
            ):
                client.types(f"{word}\n")
                client.hears("accepted\n")
                assert agent.stdout is not None
                assert agent.stdout.readline().startswith(f"asked {asked}")
        client.hears("the update agent is not running")
        process.kill()


def test_the_commands_of_the_documents_are_understood(address):
    """As they stand, but for the bus; what a call is answered is the agent's business."""
    shown = [line for block in blocks("dbus.md", "") for line in block.splitlines() if "monitor" not in line]
    assert len(shown) >= 7
    with served(address):
        for line in shown:
            command = line.replace("busctl ", f"busctl --address={address} ", 1).replace(
                "--system", f"--address {address}"
            )
            done = subprocess.run(["sh", "-c", command], check=False, capture_output=True, text=True, timeout=20)
            assert done.returncode == 0, f"{line}: {done.stderr}"


def test_the_python_of_the_documents_runs(address):
    (program,) = blocks("dbus.md", "python")
    with served(address):
        environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address}
        done = subprocess.run(
            [sys.executable, "-c", program], check=False, capture_output=True, text=True, env=environment
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_busctl_shows_every_interface(address):
    with served(address):
        done = subprocess.run(
            ["busctl", f"--address={address}", "introspect", BUS_NAME, "/org/otaagent/Agent1"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert all(each.name in done.stdout for each in read())
