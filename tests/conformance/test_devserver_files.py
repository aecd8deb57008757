"""The development server serves files with ranges like hawkBit, and can be operated with its Management API."""

from __future__ import annotations

import email
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from agent.demo.server import DevServer
from agent.demo.server_faults import Fault

DATA = bytes(range(256)) * 40
SHA1 = hashlib.sha1(DATA).hexdigest()


@pytest.fixture
def server() -> Iterator[DevServer]:
    with DevServer(target_token="tok", password="pw") as running:
        running.add_target("dev1")
        yield running


@pytest.fixture
def device() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = "TargetToken tok"
        yield session


@pytest.fixture
def offer(server: DevServer, tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "b.raucb").write_bytes(DATA)
    module = server.upload(tmp_path / "b.raucb")
    action = server.assign("dev1", module)
    return action, f"{server.controller_url('dev1')}/softwaremodules/{module.id}/artifacts/b.raucb"


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-", 0, 10239),
        ("bytes=5-9", 5, 9),
        ("bytes=10239-", 10239, 10239),
        ("bytes=10000-99999", 10000, 10239),
        ("bytes=-8", 10232, 10239),
        ("bytes=-10240", 0, 10239),
    ],
)
def test_a_range_is_answered_exactly(
    device: requests.Session, offer: tuple[str, str], asked: str, first: int, last: int
) -> None:
    answer = device.get(offer[1], headers={"Range": asked}, timeout=10)
    assert answer.status_code == 206
    assert answer.content == DATA[first : last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(DATA)}"
    assert answer.headers["ETag"] == f'"{SHA1}"'


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=10240-",
        "bytes=9-5",
        "bytes=-0",
        "bytes=-",
        "bytes=-10241",
        "bytes=0-9,5-15",
        "bytes=0-1, 5-6",
        "pages=1-2",
    ],
)
def test_a_range_that_cannot_be_is_416(device: requests.Session, offer: tuple[str, str], asked: str) -> None:
    answer = device.get(offer[1], headers={"Range": asked}, timeout=10)
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(DATA)}")


def test_several_ranges_come_in_parts_and_in_order(device: requests.Session, offer: tuple[str, str]) -> None:
    answer = device.get(offer[1], headers={"Range": "bytes=20-21,5-9,-3"}, timeout=10)
    assert answer.status_code == 206
    kind = answer.headers["Content-Type"]
    assert kind == "multipart/byteranges; boundary=THIS_STRING_SEPARATES_MULTIPART"
    message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + answer.content)
    parts = [(part["Content-Range"], part.get_payload(decode=True)) for part in message.walk()][1:]
    assert parts == [
        ("bytes 5-9/10240", DATA[5:10]),
        ("bytes 20-21/10240", DATA[20:22]),
        ("bytes 10237-10239/10240", DATA[10237:]),
    ]


def test_conditions_on_ranges(device: requests.Session, offer: tuple[str, str]) -> None:
    def ask(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return device.get(offer[1], headers={"Range": "bytes=1-", **named}, timeout=10).status_code

    assert ask(If_Range=f'"{SHA1}"') == 206
    assert ask(If_Range='"other"') == 200
    assert ask(If_Range="Thu, 01 Jan 1970 00:00:00 GMT") == 200
    assert ask(If_Range="Fri, 01 Jan 2100 00:00:00 GMT") == 206
    assert ask(If_Match=f'"{SHA1}"') == 412
    assert ask(If_Match=SHA1) == 206


def test_head_has_the_length_and_no_body(device: requests.Session, offer: tuple[str, str]) -> None:
    answer = device.head(offer[1], timeout=10)
    assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, "10240", b"")


def test_only_a_download_without_range_is_noted(
    server: DevServer, device: requests.Session, offer: tuple[str, str]
) -> None:
    device.get(offer[1], headers={"Range": "bytes=0-"}, timeout=10)
    assert "DOWNLOAD" not in [entry.type for entry in server.history(offer[0])]
    assert device.get(offer[1], timeout=10).content == DATA
    assert [entry.type for entry in server.history(offer[0])][-1] == "DOWNLOAD"
    device.get(f"{offer[1]}.MD5SUM", timeout=10)
    assert [entry.type for entry in server.history(offer[0])].count("DOWNLOAD") == 2


def test_a_download_without_range_meets_the_quota(
    server: DevServer, device: requests.Session, offer: tuple[str, str]
) -> None:
    server.state.max_entries = 1
    assert device.get(offer[1], timeout=10).status_code == 429
    assert device.get(offer[1], headers={"Range": "bytes=0-"}, timeout=10).status_code == 206


def test_files_come_only_for_an_open_action(
    server: DevServer, device: requests.Session, offer: tuple[str, str]
) -> None:
    assert device.get(f"{offer[1]}.MD5SUM", timeout=10).text == f"{hashlib.md5(DATA).hexdigest()}  b.raucb"
    assert device.get(f"{offer[1]}x", timeout=10).status_code == 404
    listed = device.get(offer[1].rsplit("/", 1)[0], timeout=10).json()
    assert listed[0]["hashes"]["sha256"] == hashlib.sha256(DATA).hexdigest()
    server.cancel(offer[0])
    assert device.get(offer[1], timeout=10).status_code == 404


def test_faults_strike_as_often_as_told(server: DevServer, device: requests.Session, offer: tuple[str, str]) -> None:
    server.faults.corrupt(3, times=1)
    changed = device.get(offer[1], timeout=10).content
    assert (changed[3], changed[:3], changed[4:]) == (DATA[3] ^ 0xFF, DATA[:3], DATA[4:])
    assert device.get(offer[1], timeout=10).content == DATA
    server.faults.add(Fault(method="HEAD", status=503, path="."))
    assert device.get(offer[1], timeout=10).status_code == 200
    assert device.head(offer[1], timeout=10).status_code == 503
    server.faults.drop(10)
    server.faults.clear()
    assert server.faults.left == 0
    server.faults.drop(10)
    with pytest.raises(requests.RequestException):
        device.get(offer[1], timeout=10)
