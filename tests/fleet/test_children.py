"""The fetcher and the installer as threads do and say what the processes do and say."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pki.build import pem, shared_pki
from support.frames import common
from support.server import Running, running_server

from agent.daemon.children import Child, spawn
from agent.demo.server_faults import Fault
from agent.wire import Frame
from fleet.children import ThreadChild
from fleet.device import surroundings
from fleet.systems import SLOT_SIZE, System, bundle_of

Start = Callable[[str], Child | ThreadChild]
STARTS: dict[str, Start] = {"process": spawn, "thread": ThreadChild}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with running_server(tmp_path) as server, surroundings():
        yield server


def asked(child: Child | ThreadChild, header: Mapping[str, Any], body: bytes = b"") -> Frame:
    child.channel.send(header, body)
    return child.receive(30)


def request(running: Running, method: str = "GET", path: str = "", **more: Any) -> dict[str, Any]:
    url = f"{running.server.controller_url('dev1')}{path}"
    return {"op": "request", "method": method, "url": url, "headers": {}, "max_body": 65536, **more}


def told(frame: Frame) -> object:
    """An answer without what differs from one time to the next."""
    header = {key: value for key, value in frame.header.items() if key != "headers"}
    names = frame.header.get("headers")
    return header, sorted(names) if isinstance(names, dict) else None, frame.body


FAULTS: dict[str, Fault | None] = {
    "answered": None,
    "refused": Fault(path=".", status=503, headers={"Retry-After": "7"}),
    "unauthorised": Fault(path=".", status=401),
    "redirected": Fault(path=".", status=302, headers={"Location": "https://127.0.0.1:1/"}),
    "cut off": Fault(path=".", drop_after=3),
    "reset": Fault(path=".", drop_after=0, reset=True),
    "silent": Fault(path=".", delay=3.0),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_request_is_made_and_answered_alike(running: Running, fault: Fault | None) -> None:
    said, seen = {}, {}
    for kind, start in STARTS.items():
        running.server.seen.clear()
        if fault is not None:
            running.server.faults.add(fault)
        with start("fetcher") as child:
            patience = 1 if fault is not None and fault.delay else 20
            assert asked(child, running.session(connect_timeout=20, read_timeout=patience)).op == "ok"
            said[kind] = told(asked(child, request(running)))
        seen[kind] = [(each.method, each.path, each.headers) for each in running.server.seen]
    assert said["thread"] == said["process"]
    assert seen["thread"] == seen["process"]
    assert seen["thread"]


def test_feedback_is_sent_alike(running: Running, tmp_path: Path) -> None:
    action, _ = running.offer(bundle_of(System("1.1.0"), tmp_path))
    body = json.dumps({"status": {"execution": "proceeding", "result": {"finished": "none"}, "details": ["hello"]}})
    said = {}
    for kind, start in STARTS.items():
        with start("fetcher") as child:
            asked(child, running.session())
            message = request(
                running, "POST", f"/deploymentBase/{action}/feedback", headers={"Content-Type": "application/json"}
            )
            said[kind] = told(asked(child, message, body.encode()))
    assert said["thread"] == said["process"]
    assert [entry.messages for entry in running.server.history(action)].count(("hello",)) == 2


def test_nobody_there_is_told_alike(running: Running) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    said = {}
    for kind, start in STARTS.items():
        with start("fetcher") as child:
            asked(child, running.session(origin=f"https://127.0.0.1:{port}"))
            said[kind] = told(asked(child, request(running, url=f"https://127.0.0.1:{port}/")))
    assert said["thread"] == said["process"]


@pytest.mark.parametrize("signer", ["good", "other"])
def test_a_bundle_is_inspected_and_installed_alike(running: Running, tmp_path: Path, signer: str) -> None:
    """Through both: the fetcher serves ranges, the installer reads, verifies, writes and reads back."""
    bundle = bundle_of(System("1.1.0"), tmp_path, signer=signer)
    size = bundle.stat().st_size
    _, url = running.offer(bundle)
    (tmp_path / "root.pem").write_bytes(pem(shared_pki().root))
    said, seen, slots = {}, {}, {}
    for kind, start in STARTS.items():
        running.server.seen.clear()
        slot = tmp_path / f"slot-{kind}"
        slot.write_bytes(bytes(SLOT_SIZE))
        said[kind] = [without_times(frame) for frame in conversation(start, running, url, size, slot)]
        seen[kind] = sorted((each.path, each.headers.get("range", "")) for each in running.server.seen)
        slots[kind] = slot.read_bytes()
    assert said["thread"] == said["process"]
    assert seen["thread"] == seen["process"]
    assert slots["thread"] == slots["process"]
    assert said["thread"][-2]["op"] == ("installed" if signer == "good" else "error")


def conversation(start: Start, running: Running, url: str, size: int, slot: Path) -> Iterator[Frame]:
    """Everything that both say until the bundle is installed, or refused."""
    target = {"name": "rootfs.1", "class": "rootfs", "index": 1, "device": str(slot), "type": "raw"}
    plan: dict[str, Any] = {"booted": [str(slot.with_name("running"))], "starts": {}, "slots": [target]}
    slot.with_name("running").write_bytes(bytes(SLOT_SIZE))
    trust = common(slot.with_name("root.pem"), size=size, spool=str(slot.with_name("spool")))
    with start("fetcher") as fetcher, start("installer") as installer:
        asked(fetcher, running.session())
        inspected: Frame | None = None
        for op in ("inspect", "install"):
            near, far = socket.socketpair()
            with near:
                with far:
                    fetcher.channel.send({"op": "serve", "url": url, "size": size}, fds=(far.fileno(),))
                more = {**plan, "manifest_hash": inspected.text("manifest_hash", "")} if inspected else {}
                installer.channel.send({"op": op, **trust, **more}, fds=(near.fileno(),))
            while (frame := installer.receive(30)).op in ("progress", "checkpoint"):
                yield frame
            yield frame
            yield fetcher.receive(30)
            inspected = frame


def without_times(frame: Frame) -> dict[str, Any]:
    """A frame without what is measured, and without the walls that only a process has."""
    return {
        key: value for key, value in frame.header.items() if key not in ("seconds", "read_back_seconds", "restriction")
    }
