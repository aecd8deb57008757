"""What the doctor says about slots on flash memory, which none of the test machines has."""

from __future__ import annotations

import pytest
from support.patient import Patient, fitted_patient

from agent.doctor.finding import Severity
from slots.errors import SlotError
from slots.model import Slot

patient = pytest.fixture(fitted_patient)


@pytest.mark.parametrize("slot_type", ["nand", "nor", "jffs2", "ubifs", "ubivol"])
def test_the_programs_asked_for_are_those_that_write_flash(patient: Patient, slot_type: str) -> None:
    table = {
        "nand": (Severity.ERROR, "flash_erase, nandwrite, nanddump"), "nor": (Severity.ERROR, "flash_erase"),
        "jffs2": (Severity.ERROR, "flash_erase"), "ubifs": (Severity.NOTE, "mkfs.ubifs"),
    }  # fmt: skip
    patient.settings["slot.rootfs.1.type"] = slot_type
    found = [(each.severity, each.found) for each in patient.diagnosis() if each.id == "program.slots"]
    expected = [
        (severity, f"slots of type {slot_type} need {names}, which is not installed")
        for severity, names in [table[slot_type]]
    ] if slot_type in table else []  # fmt: skip
    assert found == expected


class Examiner:
    """Stands for the handler of a slot on flash whose memory is mounted."""

    def preflight(self, slot: Slot, kind: str, size: int) -> None:
        code = "slot.readonly" if slot.readonly else "slot.mounted"
        raise SlotError(code, f"slot {slot.name} is in use", details=slot.device)


def test_that_the_running_slot_of_flash_is_mounted_is_as_it_should_be(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.doctor.slots.handler_for", lambda slot_type, kind: Examiner())
    for number in (0, 1):
        patient.settings[f"slot.rootfs.{number}.type"] = "ubivol"
    patient.settings["slot.rootfs.0.readonly"] = True
    found = {each.found.partition(":")[0]: each.code for each in patient.diagnosis() if each.id == "slot.device"}
    assert found == {"rootfs.0": "", "slot rootfs.1 is in use": "slot.mounted"}
