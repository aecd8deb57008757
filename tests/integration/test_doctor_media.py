"""The doctor on sticks and cards: can they be heard of, mounted, and by whom?"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from support.patient import Patient, fitted_patient


@pytest.fixture
def patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Patient:
    patient = fitted_patient(tmp_path, monkeypatch)
    patient.settings |= {"media.install": "ask", "media.filesystems": ["vfat", "ext4"], "media.socket": "find.sock"}
    patient.write("proc/filesystems", b"\text4\n\tvfat\n")
    patient.systemctl()
    return patient


def about_media(patient: Patient) -> set[tuple[str, str]]:
    return {finding for finding in patient.complaints() if finding[0].startswith("media.")}


def test_where_nobody_looks_at_media_nothing_is_said_of_them(patient: Patient) -> None:
    patient.settings["media.install"] = "off"
    assert not [each for each in patient.diagnosis() if each.id.startswith("media.")]


def test_a_device_that_can_do_all_of_it_is_told_so(patient: Patient) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(patient.home / "find.sock"))
        assert about_media(patient) == set()
    assert len([each for each in patient.diagnosis() if each.id.startswith("media.")]) == 3


@pytest.mark.parametrize(("known", "severity"), [(b"\text4\n", "warning"), (b"\tbtrfs\n", "error")])
def test_a_file_system_that_the_kernel_lacks_is_found(patient: Patient, known: bytes, severity: str) -> None:
    patient.write("proc/filesystems", known)
    assert ("media.filesystems", severity) in about_media(patient)


def test_a_finder_that_nobody_would_start_is_found(patient: Patient) -> None:
    assert about_media(patient) == {("media.finder", "warning")}


def test_without_pyudev_nothing_would_be_heard(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.doctor.media.find_spec", lambda _: None)
    assert ("media.events", "error") in about_media(patient)
