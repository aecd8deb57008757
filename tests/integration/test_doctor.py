"""A healthy device has nothing to complain about; each seeded fault is found, and nothing else with it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pki.build import pem, shared_pki
from pki.crls import crl_pem
from support.patient import GRUB, MIB, UBOOT, Patient, fitted_patient

from agent.demo.bootscript import Flash
from agent.doctor import run as doctor
from agent.doctor.finding import Severity
from agent.doctor.run import worst
from agent.doctor.table import ROWS

Fault = Callable[[Patient], None]
YEARS = timedelta(days=365).total_seconds()
patient = pytest.fixture(fitted_patient)


def setting(name: str, value: object) -> Fault:
    return lambda patient: patient.settings.update({name: value})


def file(name: str, data: bytes, mode: int = 0o644) -> Fault:
    return lambda patient: patient.write(name, data, mode) and None


def boot(**changes: str) -> Fault:
    return lambda patient: patient.variables({**UBOOT, **changes})


def without(*names: str) -> Fault:
    return lambda patient: patient.variables({name: UBOOT[name] for name in UBOOT if name not in names})


def later(years: float) -> Fault:
    def wait(patient: Patient) -> None:
        patient.clock.time += years * YEARS

    return wait


def crls(*names: str, check: bool = True) -> Fault:
    def give(patient: Patient) -> None:
        patient.write("root.pem", pem(shared_pki().root) + crl_pem(shared_pki(), *names))
        patient.settings["keyring.check-crl"] = check

    return give


def truncated(size: int, *names: str) -> Fault:
    def cut(patient: Patient) -> None:
        for name in names:
            os.truncate(patient.home / name, size)

    return cut


def linked(patient: Patient) -> None:
    (patient.home / "b.img").unlink()
    (patient.home / "b.img").symlink_to("a.img")


def broken_environment(patient: Patient) -> None:
    patient.write("flash", os.urandom(0x8000))


def single_environment(patient: Patient) -> None:
    lines = (patient.home / "fw_env.config").read_text().splitlines()
    patient.write("fw_env.config", lines[0].encode())


def full_environment(patient: Patient) -> None:
    taken = sum(len(name) + len(value) + 2 for name, value in UBOOT.items())
    patient.variables({**UBOOT, "filler": "x" * (0x4000 - 5 - taken - len("filler=") - 2)})


def without_tool(patient: Patient) -> None:
    (patient.home / "bin/fw_printenv").unlink()


def lying_tool(patient: Patient) -> None:
    without_tool(patient)
    patient.write("bin/fw_printenv", b"#!/bin/sh\necho BOOT_A_LEFT=7\n", 0o755)


def failing_tool(patient: Patient) -> None:
    without_tool(patient)
    patient.write("bin/fw_printenv", b"#!/bin/sh\necho Cannot read environment\nexit 1\n", 0o755)


def mounted(patient: Patient) -> None:
    patient.mounts(f"99 25 0:50 / /mnt rw - ext4 {patient.home}/b.img rw")


def old_build(patient: Patient) -> None:
    path = patient.write("clock-epoch", b"")
    os.utime(path, (patient.clock.time + 60, patient.clock.time + 60))


def unsynchronised(patient: Patient) -> None:
    patient.clock.kept = False


def with_rescue(patient: Patient) -> None:
    patient.write("r.img", b"hsqs".ljust(MIB, b"\0"))
    patient.settings |= {
        "slot.rescue.0.device": "r.img", "slot.rescue.0.bootname": "R", "slot.rescue.0.rescue": True,
        "slot.rescue.0.readonly": True,
    }  # fmt: skip


def rescued(patient: Patient) -> None:
    with_rescue(patient)
    patient.write("cmdline", b"console=ttyS0 rauc.slot=R ota.slot=R\n")
    boot(BOOT_A_LEFT="0", BOOT_B_LEFT="0")(patient)


FAULTS: dict[str, tuple[Fault, set[tuple[str, str]]]] = {
    "a misspelt setting": (setting("system.compatibel", "x"), {("config.valid", "error")}),
    "one boot name twice": (setting("slot.rootfs.1.bootname", "A"), {("config.slots", "error")}),
    "a destroyed environment": (broken_environment, {("boot.environment", "error")}),
    "a single copy": (single_environment, {("boot.redundant", "error")}),
    "no bootloader": (
        setting("bootloader.type", "noop"), {("boot.fallback", "warning"), ("boot.canary", "note")},
    ),
    "an environment that no U-Boot wrote": (without("bootcmd"), {("boot.origin", "warning")}),
    "a full environment": (full_environment, {("boot.canary", "error")}),
    "no fw_printenv": (without_tool, {("boot.tool", "warning")}),
    "a tool that looks elsewhere": (lying_tool, {("boot.tool", "error")}),
    "a tool that cannot read": (failing_tool, {("boot.tool", "warning")}),
    "the running slot out of the order": (boot(BOOT_ORDER="B"), {("boot.order", "error")}),
    "no order": (without("BOOT_ORDER"), {("boot.order", "error")}),
    "an unknown slot in the order": (boot(BOOT_ORDER="A B C"), {("boot.order", "warning")}),
    "a count that is missing": (
        without("BOOT_B_LEFT"), {("boot.variables", "warning"), ("boot.next", "note")},
    ),
    "a count that makes no sense": (
        boot(BOOT_B_LEFT="many"), {("boot.variables", "warning"), ("boot.next", "note")},
    ),
    "another slot next": (boot(BOOT_ORDER="B A"), {("boot.next", "warning")}),
    "no fallback": (boot(BOOT_B_LEFT="0"), {("boot.next", "note")}),
    "a boot not yet marked good": (boot(BOOT_A_LEFT="2"), {("boot.attempts", "note")}),
    "a boot never marked good": (boot(BOOT_A_LEFT="0"), {("boot.attempts", "warning")}),
    "an update on trial": (boot(OTA_TRIAL="A,7,abab"), {("boot.trial", "note"), ("boot.canary", "note")}),
    "a rescue system that had to come": (rescued, {("boot.rescue", "warning"), ("slot.status", "note")}),
    "no running slot": (file("cmdline", b"quiet\n"), {("slot.booted", "error")}),
    "a device that is not there": (lambda patient: (patient.home / "b.img").unlink(), {("slot.device", "error")}),
    "a device that is no storage": (setting("slot.rootfs.1.device", "/dev/null"), {("slot.device", "error")}),
    "flash memory that is none": (
        setting("slot.rootfs.1.type", "nor"), {("slot.device", "error"), ("program.slots", "error")},
    ),
    "two slots in one": (linked, {("slot.distinct", "error")}),
    "a smaller slot": (truncated(MIB // 2, "b.img"), {("slot.size", "warning")}),
    "another file system": (file("b.img", b"hsqs".ljust(MIB, b"\0")), {("slot.content", "warning")}),
    "a blank slot": (file("b.img", b"\0" * MIB), {("slot.content", "note")}),
    "a mounted slot": (mounted, {("slot.in-use", "error")}),
    "no writable slot": (
        setting("slot.rootfs.1.readonly", True), {("slot.target", "error"), ("slot.protected", "note")},
    ),
    "a slot of unknown content": (lambda patient: patient.status(), {("slot.status", "note")}),
    "an update that failed": (lambda patient: patient.status(status="failed"), {("slot.status", "warning")}),
    "an update that nobody goes on with": (
        lambda patient: patient.status(status="pending"), {("slot.status", "warning")},
    ),
    "a root file system by its UUID": (
        file("cmdline", b"root=UUID=1234-5678 ota.slot=A\n"), {("slot.root-argument", "warning")},
    ),
    "an open state directory": (lambda patient: (patient.home / "state").chmod(0o755), {("state.directory", "warning")}),
    "a state directory in memory": (lambda patient: patient.mounts(fstype="tmpfs"), {("state.volatile", "error")}),
    "a state directory on an overlay": (lambda patient: patient.mounts(fstype="overlay"), {("state.volatile", "note")}),
    "a read-only state directory": (lambda patient: patient.mounts(options="ro"), {("state.writable", "error")}),
    "a record that cannot be read": (file("state/record.json", b"\0\0"), {("state.documents", "warning")}),
    "a policy that cannot be read": (file("state/policy.json", b"{"), {("state.documents", "warning")}),
    "a document that was put aside": (file("state/outbox.json.broken", b"{"), {("state.documents", "warning")}),
    "slots larger than the room for plain bundles": (
        truncated(1 << 42, "a.img", "b.img"), {("state.spool", "note")},
    ),
    "no network namespaces": (
        lambda patient: (patient.home / "proc/self/ns/net").unlink(), {("kernel.namespaces", "warning")},
    ),
    "no ext4": (file("proc/filesystems", b"\tvfat\n"), {("kernel.filesystems", "note")}),
    "no restart command": (setting("system.reboot-command", ["no-such-program"]), {("program.reboot", "error")}),
    "no logind": (setting("system.reboot-command", []), {("program.reboot", "warning")}),
    "a health command that is missing": (setting("health.commands", [["/bin/no"]]), {("program.health", "error")}),
    "no fsck": (lambda patient: (patient.home / "bin/e2fsck").unlink(), {("program.slots", "note")}),
    "no mkfs": (lambda patient: (patient.home / "bin/mkfs.ext4").unlink(), {("program.slots", "note")}),
    "a clock that nobody keeps": (unsynchronised, {("clock.synchronised", "note")}),
    "a clock behind the build": (old_build, {("clock.past", "warning")}),
    "no keyring": (setting("keyring.path", "none.pem"), {("trust.keyring", "error")}),
    "a keyring without an anchor": (
        lambda patient: patient.write("root.pem", pem(shared_pki().signer("intermediate").certificate)) and None,
        {("trust.keyring", "error")},
    ),
    "revocation without a list": (setting("keyring.check-crl", True), {("trust.crl", "error")}),
    "a list out of date": (crls("root-expired"), {("trust.crl", "error")}),
    "a list out of date that does not count": (crls("root-expired", check=False), {("trust.crl", "warning")}),
    "a list that nobody looks at": (crls("root", check=False), {("trust.crl", "note")}),
    "a key that others can read": (
        lambda patient: (patient.home / "recipient.pem").chmod(0o644), {("trust.encryption-key", "error")},
    ),
    "no server": (
        lambda patient: [patient.settings.pop(name) for name in list(patient.settings) if name.startswith("server.")],
        {("server.configured", "note")},
    ),
    "no token": (setting("server.target-token-file", "none"), {("server.token", "error")}),
    "a token that others can read": (
        lambda patient: (patient.home / "token").chmod(0o644), {("server.token", "error")},
    ),
    "authorities that are none": (file("ca.pem", b"nothing\n"), {("server.ca-file", "error")}),
    "no user for the network": (setting("fetcher.user", "no-such-user"), {("server.user", "error")}),
    "a health program that others can change": (
        lambda patient: (patient.home / "health.d/10-app").chmod(0o777), {("health.programs", "error")},
    ),
    "no place for a panic": (lambda patient: (patient.home / "pstore").rmdir(), {("health.panics", "note")}),
    "a kernel that keeps nothing of a panic": (file("backend", b"(null)\n"), {("health.panics", "note")}),
    "a kernel without a pstore": (lambda patient: (patient.home / "backend").unlink(), {("health.panics", "note")}),
    "a watchdog that tells nothing": (
        file("watchdogs/watchdog0/options", b"0x8180\n"), {("health.resets", "note")},
    ),
    "a failed service": (lambda patient: patient.systemctl(unit="failed"), {("service.unit", "error")}),
    "a stopped service": (lambda patient: patient.systemctl(unit="inactive"), {("service.unit", "warning")}),
    "a service that has left because it was idle": (
        lambda patient: (setting("system.idle-exit", 60)(patient), patient.systemctl(unit="inactive")), set(),
    ),
    "no guard of trials": (lambda patient: patient.systemctl(timer="inactive"), {("service.trial-guard", "warning")}),
    "a fetcher that systemd would not start": (
        lambda patient: (patient.systemctl(), (patient.home / "fetch.sock").unlink()), {("service.sockets", "warning")},
    ),
    "no watchdog": (lambda patient: patient.systemctl(watchdog="0"), {("service.watchdog", "warning")}),
    "a systemctl that fails": (
        lambda patient: (patient.systemctl(), patient.write("systemctl", b"#!/bin/sh\nexit 1\n", 0o755)),
        {("doctor.check", "error")},
    ),
}  # fmt: skip


def test_a_healthy_device_is_healthy(patient: Patient) -> None:
    assert patient.complaints() == set()
    assert worst(patient.diagnosis()) is Severity.OK


def test_a_healthy_device_with_systemd_is_healthy(patient: Patient) -> None:
    patient.systemctl()
    assert patient.complaints() == set()


def test_a_healthy_device_with_grub_is_healthy(tmp_path: Path) -> None:
    assert Patient(tmp_path, "grub").complaints() == set()


@pytest.mark.parametrize(("left", "complaints"), [("3", set()), ("1", {("boot.attempts", "note")})])
def test_attempts_that_grub_has_counted_down_are_found(
    tmp_path: Path, left: str, complaints: set[tuple[str, str]]
) -> None:
    patient = Patient(tmp_path, "grub")
    patient.variables({**GRUB, "A_LEFT": left, "B_LEFT": "3"})
    assert patient.complaints() == complaints


@pytest.mark.parametrize("bootloader", ["uboot", "grub"])
def test_a_rescue_system_is_no_complaint_and_is_behind_the_last_slot(tmp_path: Path, bootloader: str) -> None:
    patient = Patient(tmp_path, bootloader)
    with_rescue(patient)
    assert patient.complaints() == set()
    patient.variables({**UBOOT, "BOOT_B_LEFT": "0"} if bootloader == "uboot" else {**GRUB, "B_OK": "0"})
    assert patient.complaints() == set()
    assert "A boots next, and behind it the rescue system R" in [each.found for each in patient.diagnosis()]


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_and_nothing_else(patient: Patient, name: str) -> None:
    seed, expected = FAULTS[name]
    seed(patient)
    assert patient.complaints() == expected


@pytest.mark.parametrize(
    ("years", "severity"), [(9.8, "warning"), (10.1, "error")], ids=["expires soon", "has expired"]
)
def test_certificates_are_watched(patient: Patient, years: float, severity: str) -> None:
    patient.clock.time += years * YEARS
    patient.settings.pop("encryption.key")
    assert patient.complaints() == {("trust.certificates", severity), ("server.ca-file", severity)}


def test_one_anchor_that_has_expired_is_no_error_beside_one_that_has_not(patient: Patient) -> None:
    patient.write("root.pem", pem(shared_pki().root) + pem(shared_pki().signer("expired-root").certificate))
    assert patient.complaints() == {("trust.certificates", "warning")}


def test_a_list_that_will_soon_be_out_of_date_is_told(patient: Patient) -> None:
    crls("root")(patient)
    patient.clock.time += timedelta(days=10).total_seconds()
    assert patient.complaints() == {("trust.crl", "warning")}


def test_a_slot_on_a_file_system_without_direct_io_is_noted(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def without_direct(path: object, flags: int, *more: int) -> int:
        if flags & os.O_DIRECT:
            raise OSError(22, "Invalid argument")
        return real(path, flags, *more)  # type: ignore[arg-type]

    monkeypatch.setattr("agent.doctor.system.os.open", without_direct)
    assert patient.complaints() == {("kernel.direct-io", "note")}


def test_hooks_make_the_kernel_matter_more(patient: Patient) -> None:
    patient.settings["bundle.allow-hooks"] = True
    patient.write("proc/filesystems", b"\tvfat\n")
    (patient.home / "proc/self/ns/pid").unlink()
    assert patient.complaints() == {("kernel.filesystems", "warning"), ("kernel.namespaces", "error")}


def test_a_module_on_the_disk_is_as_good_as_one_in_the_kernel(patient: Patient) -> None:
    patient.write("proc/filesystems", b"\tvfat\n")
    patient.write(
        f"modules/{os.uname().release}/modules.dep", b"kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz\n"
    )
    assert patient.complaints() == set()


def test_a_defect_of_one_check_hides_no_other(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(doctor, "CHECKS", (("the moon", defect), *doctor.CHECKS))
    boot(BOOT_ORDER="B A")(patient)
    assert patient.complaints() == {("doctor.check", "error"), ("boot.next", "warning")}


def test_who_is_not_root_is_told_that_much_stays_unknown(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.doctor.run.os.geteuid", lambda: 1000)
    assert patient.complaints() == {("doctor.rights", "warning")}


def test_the_canary_reaches_both_copies_and_leaves_nothing_behind(patient: Patient) -> None:
    before = (patient.home / "flash").read_bytes()
    assert patient.complaints() == set()
    after = (patient.home / "flash").read_bytes()
    assert before[:0x4000] != after[:0x4000] and before[0x4000:] != after[0x4000:]
    assert Flash(patient.home / "flash", {}).load().variables == UBOOT


@pytest.mark.parametrize("why", ["read-only", "trial"])
def test_nothing_is_written_when_it_must_not_be(patient: Patient, why: str) -> None:
    if why == "trial":
        boot(OTA_TRIAL="A,7,abab")(patient)
    before = (patient.home / "flash").read_bytes()
    assert ("boot.canary", "note") in patient.complaints(may_write=why != "read-only")
    assert (patient.home / "flash").read_bytes() == before


def test_a_state_directory_that_is_not_there_yet_is_no_fault(patient: Patient) -> None:
    shutil.rmtree(patient.home / "state")
    assert patient.complaints() == {("state.directory", "note"), ("slot.status", "note")}


def test_an_update_under_way_is_no_fault(patient: Patient) -> None:
    patient.status(status="pending")
    from agent.daemon.machine import State
    from agent.daemon.record import Record

    patient.document("record", Record(state=State.STAGING, target="B").to_json())
    assert patient.complaints() == {("slot.status", "note")}


def test_every_finding_is_in_the_table_and_says_why_and_what_to_do(patient: Patient) -> None:
    boot(BOOT_ORDER="A B C")(patient)
    for each in patient.diagnosis():
        assert each.id in ROWS
        assert each.why and each.found and (each.fix or each.severity is Severity.OK)


def test_every_row_of_the_table_can_be_found_by_a_fault() -> None:
    """The others are in test_doctor_devices.py (block devices), test_doctor_credentials.py, test_doctor_media.py, and here."""
    seeded = {row for _, expected in FAULTS.values() for row, _ in expected}
    elsewhere = {
        "doctor.rights", "kernel.direct-io", "trust.certificates", "state.place", "state.space",
            "server.client-cert", "server.client-key", "server.proxy",
        "media.filesystems", "media.events", "media.finder",
    }  # fmt: skip
    assert seeded | elsewhere == set(ROWS)
