"""The development server misbehaves as it is told, and no further: one test for each kind of fault."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import time
from typing import Any

import pytest
import requests
from support.ddi import TOKEN, Device, kinds, small_file
from support.management import Management

from agent.demo.server import DevServer
from agent.demo.server_faults import Fault
from agent.demo.server_tls import make_variants


@pytest.fixture
def server() -> Iterator[DevServer]:
    with DevServer(password="pw") as running:
        running.add_target("dev1", TOKEN)
        yield running


@pytest.fixture
def action(server: DevServer, tmp_path: Path) -> str:
    return server.assign("dev1", server.upload(small_file(tmp_path)))


def artifact(device: Device, action: str) -> dict[str, Any]:
    document = device.get(f"/deploymentBase/{action}").json()
    found = document["deployment"]["chunks"][0]["artifacts"][0]
    assert isinstance(found, dict)
    return found


def knob(server: DevServer, method: str, path: str = "", body: object = None, status: int = 204) -> Any:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(method, f"{server.url}/faults{path}", json=body, auth=("admin", "pw"), timeout=10)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def test_a_burst_of_errors_ends(server: DevServer, device: Device) -> None:
    server.faults.respond(503, times=2, headers={"Retry-After": "7"})
    server.faults.respond(429)
    answers = [device.get() for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 503, 429, 200]
    assert [answer.headers.get("Retry-After") for answer in answers] == ["7", "7", None, None]


def test_operators_are_spared(server: DevServer) -> None:
    server.faults.respond(503, times=9)
    assert Management(server.url, "admin", "pw").call("GET", "/targets")["total"] == 1
    assert server.faults.left == 9


def test_a_body_may_end_early(server: DevServer, device: Device) -> None:
    server.faults.drop(10, path=r"/dev1$")
    with pytest.raises(requests.RequestException):
        device.get()
    assert device.get().status_code == 200


@pytest.mark.parametrize("reset", [False, True])
def test_an_answer_may_be_lost_after_the_request_was_heeded(
    server: DevServer, device: Device, action: str, reset: bool
) -> None:
    server.faults.lose_answer(reset=reset)
    with pytest.raises(requests.ConnectionError):
        device.raw(action, "closed", "success")
    assert server.action_status(action) == "FINISHED"
    assert device.raw(action, "closed", "success") == 410


def test_a_request_may_arrive_twice(server: DevServer, device: Device, action: str) -> None:
    server.faults.add(Fault(path="/feedback", twice=True))
    assert device.raw(action, "proceeding") == 200
    assert kinds(server, action) == ["RUNNING"] * 3
    server.faults.add(Fault(path="/feedback", twice=True))
    assert device.raw(action, "closed", "success") == 410


def test_headers_may_come_octet_by_octet(server: DevServer, device: Device) -> None:
    server.faults.add(Fault(path=".", header_pause=0.0001))
    assert device.get().json()["config"]["polling"]["sleep"] == "00:00:01"
    server.faults.add(Fault(path=".", header_pause=60.0))
    with pytest.raises(requests.Timeout):
        device.session.get(device.base, timeout=0.5)


def test_the_date_may_be_wrong(server: DevServer, device: Device) -> None:
    server.faults.add(Fault(path=".", date_skew=-86400.0 * 365))
    told = [parsedate_to_datetime(device.get().headers["Date"]).timestamp() - time() for _ in range(2)]
    assert told[0] < -86400 * 364
    assert told[1] > -600


def test_links_may_point_to_another_place(server: DevServer, device: Device, action: str) -> None:
    server.faults.add(Fault(path="deploymentBase", link_root="http://other.example:1"))
    found = artifact(device, action)["_links"]["download-http"]["href"]
    assert found.startswith("http://other.example:1/DEFAULT/controller/v1/dev1/softwaremodules/")
    assert artifact(device, action)["_links"]["download-http"]["href"].startswith(server.url)


def test_digests_and_sizes_may_be_false(server: DevServer, device: Device, action: str) -> None:
    true = artifact(device, action)
    server.faults.add(Fault(path="deploymentBase", false_hash=True, false_size=-1))
    false = artifact(device, action)
    assert (false["size"], true["size"]) == (1023, 1024)
    for name, digest in true["hashes"].items():
        assert false["hashes"][name][1:] == digest[1:]
        assert false["hashes"][name] != digest
    assert artifact(device, action) == true


def test_a_download_may_be_elsewhere_where_credentials_are_refused(
    server: DevServer, device: Device, action: str, tmp_path: Path
) -> None:
    link = artifact(device, action)["_links"]["download-http"]["href"]
    server.faults.add(Fault(elsewhere=True, times=2))
    answer = device.session.get(link, allow_redirects=False, timeout=10)
    location = answer.headers["Location"]
    assert (answer.status_code, location.startswith(server.url)) == (302, False)
    assert requests.get(location, headers={"Authorization": f"TargetToken {TOKEN}"}, timeout=10).status_code == 400
    part = requests.get(location, headers={"Range": "bytes=1000-"}, timeout=10)
    assert (part.status_code, part.content) == (206, small_file(tmp_path).read_bytes()[1000:])
    assert requests.get(f"{location}x", timeout=10).status_code == 404


def shown(server: DevServer, ca: Path) -> str:
    """How a careful client finds the server's certificate."""
    context = ssl.create_default_context(cafile=str(ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost"):
                return "good"
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
        except (ssl.SSLError, ConnectionError) as error:
            return type(error).__name__


def test_the_certificate_may_be_wrong_in_several_ways(tmp_path: Path) -> None:
    variants = make_variants(tmp_path)
    good = variants["good"]
    with DevServer(("127.0.0.1", 0), good.cert, good.key, variants=variants, password="pw") as server:
        found = {}
        for name in ("expired", "not-yet-valid", "wrong-name", "untrusted", "old", "good"):
            server.present(name)
            found[name] = shown(server, good.ca)
    assert found["expired"] == "certificate has expired"
    assert found["not-yet-valid"] == "certificate is not yet valid"
    assert found["wrong-name"].startswith("Hostname mismatch")
    assert found["untrusted"].startswith(("unable to get local issuer", "self-signed", "certificate signature failure"))
    assert found["old"] in ("SSLError", "ConnectionResetError", "SSLEOFError")
    assert found["good"] == "good"


def test_faults_are_controlled_over_http(server: DevServer, device: Device) -> None:
    knob(server, "POST", "", {"path": "/dev1$", "status": 503, "times": 2, "headers": {"Retry-After": "1"}, "delay": 0})
    assert knob(server, "GET", status=200)[0]["times"] == 2
    assert device.get().status_code == 503
    knob(server, "DELETE")
    assert (device.get().status_code, knob(server, "GET", status=200)) == (200, [])


@pytest.mark.parametrize(
    "body", [{"speed": 1}, {"path": "("}, {"path": 1}, {"times": True}, {"status": "x"}, {"drop_after": "1"}, []]
)
def test_faults_that_there_are_not_are_refused(server: DevServer, body: object) -> None:
    knob(server, "POST", "", body, 400)
    assert server.faults.left == 0


def test_limits_and_windows_are_controlled_over_http(server: DevServer, device: Device, action: str) -> None:
    knob(server, "PUT", "/limits", {"maxEntries": 1, "quotaStatus": 403, "mostPolling": 90_000})
    assert device.raw(action, "proceeding") == 403
    Management(server.url, "admin", "pw").configure("pollingTime", "24:00:00")
    knob(server, "PUT", "/limits", {"more": 1}, 400)
    knob(server, "PUT", "/limits", {"maxEntries": "1"}, 400)
    knob(server, "PUT", "/window", {"action": action, "window": "unavailable"})
    assert device.get(f"/deploymentBase/{action}").json()["deployment"]["update"] == "skip"
    knob(server, "PUT", "/window", {"action": action, "window": "ajar"}, 400)
    knob(server, "PUT", "/window", {"action": "99", "window": "available"}, 404)
    knob(server, "PUT", "/tls", {"variant": "old"}, 400)
    knob(server, "PUT", "/nothing", {}, 404)


def test_requests_are_told_without_their_credentials(server: DevServer, device: Device) -> None:
    device.get()
    found = knob(server, "GET", "/requests?path=/dev1", status=200)
    assert [(entry["method"], entry["status"]) for entry in found] == [("GET", 200)]
    assert TOKEN not in json.dumps(found)


def test_faults_need_the_operators_login(server: DevServer) -> None:
    for auth in (None, ("admin", "x")):
        assert requests.get(f"{server.url}/faults", auth=auth, timeout=10).status_code == 401
    with DevServer() as other:
        assert requests.get(f"{other.url}/faults", timeout=10).status_code == 404


def test_a_changed_file_no_longer_has_its_digest(server: DevServer, device: Device, action: str) -> None:
    found = artifact(device, action)
    server.faults.corrupt(5, times=1)
    link = found["_links"]["download-http"]["href"]
    digests = [hashlib.sha256(device.get(link).content).hexdigest() == found["hashes"]["sha256"] for _ in range(2)]
    assert digests == [False, True]
