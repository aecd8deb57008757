"""The development server standing alone: what it says of itself, who may operate it, and where it listens."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from agent.demo.server import DevServer
from agent.demo.server_cli import main

COMMAND = [sys.executable, "-u", "-m", "agent.demo.server", "--listen", "127.0.0.1:0"]


@contextmanager
def running(*arguments: str, lines: int) -> Iterator[list[str]]:
    """The server in a process of its own; what it prints first."""
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield [process.stdout.readline().rstrip("\n") for _ in range(lines)]
    finally:
        process.terminate()
        process.communicate(timeout=10)
    assert process.returncode == 0


def curl(*arguments: str) -> str:
    command = ["curl", "-fsS", "--noproxy", "*", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def test_help_teaches_a_first_update_and_says_that_it_is_a_test_double() -> None:
    printed = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True, timeout=30).stdout
    for words in ("NOT FOR PRODUCTION", "assignedTargets", "/faults", "--insecure-admin"):
        assert words in printed


def test_every_answer_says_that_it_is_a_test_double() -> None:
    with DevServer() as server:
        assert "test double" in requests.get(server.url, timeout=10).headers["Server"]


def test_curl_can_operate_it_standing_alone(tmp_path: Path) -> None:
    with running("--tls", str(tmp_path / "tls"), "--password", "pw", "--target", "dev9=t9", lines=6) as lines:
        assert "NOT FOR PRODUCTION" in lines[1]
        url = lines[4].split()[-1]
        assert '"dev9"' in curl("--cacert", lines[5].split()[-1], "-u", "admin:pw", url)


def test_the_password_is_random_unless_it_is_given() -> None:
    with running("--plain", lines=5) as lines:
        *_, user, url = lines[4].split()
        assert user.startswith("admin:")
        assert len(user) > 20
        assert '"total": 0' in curl("-u", user, url)
        with pytest.raises(subprocess.CalledProcessError):
            curl("-u", "admin:admin", url)


def test_the_insecure_operator_must_be_asked_for() -> None:
    with running("--plain", "--insecure-admin", lines=5) as lines:
        assert '"total": 0' in curl("-u", "admin:admin", lines[4].split()[-1])


def test_devices_can_show_certificates(tmp_path: Path) -> None:
    options = ("--tls", str(tmp_path), "--client-certs", "required", "--client-certs-for", "dev1", "--tenant", "acme")
    with running(*options, lines=7) as lines:
        url = lines[3].split()[-1].replace("<controllerId>", "dev1")
        cert, key = lines[6].split()[-2:]
        assert "/acme/controller/v1/" in url
        assert '"sleep"' in curl("--cacert", lines[5].split()[-1], "--cert", cert, "--key", key, url)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--listen", "8080"],
        ["--plain", "--client-certs", "required"],
        ["--plain", "--certificate", "expired"],
        ["--client-certs-for", "dev1"],
        ["--password", "x", "--insecure-admin"],
        ["--certificate", "odd"],
    ],
)
def test_options_that_make_no_sense_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_it_listens_on_loopback_if_nothing_else_is_said() -> None:
    printed = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True, timeout=30).stdout
    assert "default 127.0.0.1:8443" in printed
    with DevServer() as server:
        assert server.url.startswith("http://127.0.0.1:")
