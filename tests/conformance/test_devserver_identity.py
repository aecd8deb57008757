"""Devices may be known by their certificates, or by a proxy's headers: one test for each promise."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from cryptography import x509
from support.ddi import TOKEN, Device, links

from agent.demo.server import DevServer
from agent.demo.server_tls import Authority, Tls, issuer_hash, make_tls, name_hash

AUTHORITY = "authentication.header.authority"


class Doors:
    """A server that asks for certificates, and the authority of devices."""

    def __init__(self, directory: Path, server: DevServer, tls: Tls, authority: Authority) -> None:
        self._directory, self.server, self._tls, self.authority = directory, server, tls, authority

    def device(self, controller_id: str, tls: Tls | None = None, auth: str = "", **headers: str) -> Device:
        device = Device(self.server, controller_id)
        del device.session.headers["Authorization"]
        if auth:
            device.session.headers["Authorization"] = auth
        device.session.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
        device.session.verify = str(self._tls.ca)
        if tls is not None:
            device.session.cert = (str(tls.cert), str(tls.key))
        return device


@contextmanager
def doors(directory: Path, client_certs: str) -> Iterator[Doors]:
    tls, authority = make_tls(directory / "server"), Authority(directory / "devices", "Acme Devices  CA")
    with DevServer(("127.0.0.1", 0), tls.cert, tls.key, client_ca=authority.ca, client_certs=client_certs) as server:
        yield Doors(directory, server, tls, authority)


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Doors]:
    with doors(tmp_path, "required") as found:
        yield found


def status(device: Device) -> int:
    return device.get().status_code


def test_a_certificate_lets_in_whom_it_names(strict: Doors) -> None:
    shown = strict.authority.for_device("dev1")
    assert links(strict.device("dev1", shown)) == {"configData"}
    assert status(strict.device("dev2", shown)) == 401


def test_without_a_certificate_there_is_no_connection(strict: Doors) -> None:
    with pytest.raises(requests.ConnectionError):
        strict.device("dev1").get()


def test_a_certificate_of_another_authority_is_not_taken(strict: Doors, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "strangers", "Acme Devices  CA").for_device("dev1")
    with pytest.raises(requests.ConnectionError):
        strict.device("dev1", stranger).get()


def test_the_authority_must_be_one_that_the_tenant_knows(strict: Doors) -> None:
    shown = strict.authority.for_device("dev1")
    strict.server.state.config.set(AUTHORITY, "0badcafe")
    assert status(strict.device("dev1", shown)) == 401
    strict.server.state.config.set(AUTHORITY, f"0badcafe, {strict.authority.issuer_hash.upper()}")
    assert status(strict.device("dev1", shown)) == 200


def test_tokens_may_do_where_certificates_are_optional(tmp_path: Path) -> None:
    with doors(tmp_path, "optional") as found:
        found.server.add_target("dev1", TOKEN)
        assert status(found.device("dev1", auth=f"TargetToken {TOKEN}")) == 200
        assert status(found.device("dev1", found.authority.for_device("dev1"))) == 200
        assert status(found.device("dev1")) == 401
        known = {"X_Controller_Id": "dev1", "X_Authority": found.authority.issuer_hash}
        assert status(found.device("dev1", **known)) == 401, "no proxy has set these"


def test_a_server_behind_a_proxy_believes_its_headers() -> None:
    with DevServer() as server:
        server.state.config.set("authentication.header.enabled", True)
        server.state.config.set(AUTHORITY, "aabbccdd,Acme")

        def ask(controller_id: str, **headers: str) -> int:
            device = Device(server, controller_id, auth="")
            return device.get(**headers).status_code

        assert ask("dev1", X_Controller_Id="dev1", X_Authority="AABBCCDD") == 200
        assert ask("dev1", X_Controller_Id="dev1", X_Authority="x, acme") == 200
        assert ask("dev1", X_Controller_Id="dev1", X_Authority_0="x", X_Authority_1="acme") == 200
        assert ask("dev2", X_Controller_Id="dev1", X_Authority="acme") == 401
        assert ask("dev1", X_Controller_Id="dev1", X_Authority="other") == 401
        assert ask("dev1", X_Controller_Id="dev1") == 401
        server.state.config.set("authentication.header.enabled", False)
        assert ask("dev1", X_Controller_Id="dev1", X_Authority="acme") == 401


def test_behind_a_proxy_the_links_are_those_that_the_device_can_follow() -> None:
    with DevServer() as server:
        server.add_target("dev1", TOKEN)
        device = Device(server, "dev1")
        seen = {"Host": "updates.example.org", "X-Forwarded-Proto": "https"}
        link = device.session.get(server.controller_url("dev1"), headers=seen, timeout=10).json()["_links"][
            "configData"
        ]
        assert link["href"] == "https://updates.example.org/DEFAULT/controller/v1/dev1/configData"


def test_the_issuers_hash_is_that_of_openssl(tmp_path: Path) -> None:
    subject = "/C=DE/O=Acme  Ünit GmbH/OU= Devices /CN=Root CA/emailAddress=Ca@Example.org"
    command = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "9", "-utf8", "-subj", subject]
    key, cert = tmp_path / "key", tmp_path / "cert"
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True, timeout=30)
    asked = subprocess.run(
        ["openssl", "x509", "-in", str(cert), "-noout", "-issuer_hash"], check=True, capture_output=True, timeout=30
    )
    loaded = x509.load_pem_x509_certificate(cert.read_bytes())
    assert name_hash(loaded.issuer) == asked.stdout.decode().strip()
    authority = Authority(tmp_path, "Acme Devices")
    shown = ssl_der(authority.for_device("dev1"))
    assert issuer_hash(shown) == authority.issuer_hash


def ssl_der(tls: Tls) -> bytes:
    command = ["openssl", "x509", "-in", str(tls.cert), "-outform", "DER"]
    return subprocess.run(command, check=True, capture_output=True, timeout=30).stdout
