"""The doctor on what a device proves itself with: readable, by nobody else, and for how long."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.identities import Factory
from support.patient import Patient, fitted_patient

FACTORY = Factory()


@pytest.fixture
def patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Patient:
    patient = fitted_patient(tmp_path, monkeypatch)
    patient.clock.time = time.time()
    return patient


def certified(patient: Patient, days: float) -> None:
    FACTORY.device(days=days).write(patient.home)
    del patient.settings["server.target-token-file"]
    patient.settings |= {"server.client-cert": "device.pem", "server.client-key": "device.key"}


def about_the_server(patient: Patient) -> set[tuple[str, str]]:
    return {finding for finding in patient.complaints() if finding[0].startswith("server.")}


@pytest.mark.parametrize(
    ("days", "expected"),
    [(300, set()), (29, {("server.client-cert", "warning")}), (-1, {("server.client-cert", "error")})],
)
def test_the_end_of_a_client_certificate_is_seen_coming(
    patient: Patient, days: float, expected: set[tuple[str, str]]
) -> None:
    certified(patient, days)
    assert about_the_server(patient) == expected


def test_a_client_key_that_is_missing_is_found(patient: Patient) -> None:
    certified(patient, 300)
    (patient.home / "device.key").unlink()
    assert about_the_server(patient) == {("server.client-key", "error")}


def test_a_credential_of_the_service_is_no_fault_for_a_person(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    patient.settings["server.target-token-file"] = "credential:token"
    assert about_the_server(patient) == {("server.token", "note")}


def test_a_login_for_the_proxy_is_looked_at(patient: Patient) -> None:
    patient.settings |= {"server.proxy": "http://proxy:3128", "server.proxy-auth-file": "login"}
    patient.write("login", b"me:pass\n", 0o600)
    assert about_the_server(patient) == set()
    patient.write("login", b"nobody\n", 0o600)
    assert about_the_server(patient) == {("server.proxy", "error")}
