"""The audit log as the daemon uses it: what is recorded, what is not, and that nothing of it ever stops an update."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from pathlib import Path

import pytest
from support.audit import Clock, events, filled, opened, records

from agent.audit.chain import read_export
from agent.audit.events import EVENTS, Sparing
from agent.audit.files import Files
from agent.errors import EnvironmentFault


@pytest.mark.req("C16", "N06")
def test_a_note_is_on_the_medium_when_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: flushed.append(os.fstat(fd).st_ino))
    filled(tmp_path / "audit", 1)
    (segment,) = (tmp_path / "audit").glob("*.jsonl")
    assert {path.stat().st_ino for path in (tmp_path, tmp_path / "audit", segment)} <= set(flushed)


def test_a_record_says_when_what_and_after_which_other_one(tmp_path: Path) -> None:
    clock = Clock()
    log = opened(tmp_path, clock)
    log.note("boot", "A", version="1.0")
    before = log.head.hex()
    clock.now += 1.5
    log.note("finished", "failure", code="health.failed", tries=2, told=True)
    assert records(tmp_path)[-1] == {
        "seq": 2, "boot_id": "boot-1", "mono_us": 11_500_000, "wall": 1_800_000_011, "wall_quality": "synced",
        "event": "finished", "subject": "failure", "data": {"code": "health.failed", "tries": 2, "told": True},
        "prev": before,
    }  # fmt: skip


def test_a_clock_that_is_not_set_is_marked_and_never_before_what_is_known(tmp_path: Path) -> None:
    clock = Clock()
    clock.synced, clock.offset = False, 0.0
    opened(tmp_path, clock, earliest=lambda: 1_750_000_000).note("boot", "A")
    assert (records(tmp_path)[0]["wall"], records(tmp_path)[0]["wall_quality"]) == (1_750_000_000, "floor")


def test_a_date_that_jumps_is_recorded_before_what_follows(tmp_path: Path) -> None:
    clock = Clock()
    log = opened(tmp_path, clock)
    log.note("boot", "A")
    clock.offset -= 86400
    log.note("confirmed", "2.0")
    clock.offset += 4  # slewed, or nearly so
    log.note("confirmed", "3.0")
    assert [(each["event"], each["subject"], each["data"]) for each in records(tmp_path)][1:] == [
        ("clock", "back", {"seconds": 86400}), ("confirmed", "2.0", {}), ("confirmed", "3.0", {}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "event", [name for name, row in EVENTS.items() if row.sparing in (Sparing.CHANGED, Sparing.CHANGED_OR_BOOT)]
)
def test_the_same_again_is_not_recorded_not_even_after_a_restart(tmp_path: Path, event: str) -> None:
    for _ in range(3):
        log = opened(tmp_path)
        for _ in range(3):
            log.note(event, "same", code=1)
    log.note(event, "other", code=1)
    assert events(tmp_path) == [event, event]


def test_each_boot_is_recorded_once(tmp_path: Path) -> None:
    for boot in ("boot-1", "boot-1", "boot-2"):
        opened(tmp_path, boot_id=boot).note("boot", "A")
    assert [each["boot_id"] for each in records(tmp_path)] == ["boot-1", "boot-2"]


@pytest.mark.req("C09")
def test_refused_commands_cannot_flood_the_log_and_are_counted(tmp_path: Path) -> None:
    clock = Clock()
    limit = EVENTS["access-denied"].limit
    for start in range(2):  # nor by ending the daemon now and then
        log = opened(tmp_path, clock, segment_size=1 << 20)
        for number in range(limit):
            log.note("access-denied", f"Install {start} {number}")
    assert len(records(tmp_path)) == limit
    clock.now += 86400
    log.note("access-denied", "Install again")
    assert records(tmp_path)[-1]["data"] == {"omitted": limit}
    log.note("access-denied", "Install again")
    assert records(tmp_path)[-1]["data"] == {}


def test_the_oldest_records_make_room_and_the_rest_is_verified_from_there(tmp_path: Path) -> None:
    log = filled(tmp_path, 60)
    kept = records(tmp_path)
    assert kept[-1]["seq"] == log.count == 60
    assert kept[0]["seq"] == json.loads((tmp_path / "checkpoint").read_text())["count"] + 1 > 40
    assert log.verify() == (True, 0)
    sizes = [path.stat().st_size for path in tmp_path.glob("*.jsonl")]
    assert len(sizes) == 4 and max(sizes) <= 1500
    assert [json.loads(each)["seq"] for each in log.tail(3)] == [58, 59, 60]


@pytest.mark.req("C16")
def test_switching_off_is_the_last_record_and_switching_on_the_first(tmp_path: Path) -> None:
    log = filled(tmp_path, 1)
    log.switch(False, "uid 1000")
    log.note("confirmed", "2.0")
    assert (log.recording, events(tmp_path)) == (False, ["confirmed", "audit-off"])
    again = opened(tmp_path)  # whatever the settings say: the user has the last word
    again.note("boot", "A")
    assert (again.recording, again.seal(), records(tmp_path)[-1]["subject"]) == (False, "", "uid 1000")
    again.switch(True, "uid 0")
    again.note("confirmed", "3.0")
    assert events(tmp_path)[1:] == ["audit-off", "audit-on", "confirmed"]
    assert again.verify() == (True, 0)
    assert opened(tmp_path, recording=False).recording, "over restarts, too"


@pytest.mark.req("C16", "N06")
def test_switching_it_again_and_again_does_not_push_the_records_before_out(tmp_path: Path) -> None:
    clock = Clock()
    log = filled(tmp_path, 1, clock=clock, segment_size=1 << 20)
    for _ in range(24):
        log.switch(False, "uid 1000")
        log.switch(True, "uid 1000")
    for _ in range(2):  # nor by ending the daemon now and then
        with pytest.raises(EnvironmentFault) as caught:
            log.switch(False, "uid 1000")
        assert (caught.value.code, log.recording) == ("audit.switched-often", True)
        log = opened(tmp_path, clock, segment_size=1 << 20)
    assert (len(records(tmp_path)), records(tmp_path)[0]["event"]) == (49, "confirmed")
    clock.now += 86400
    log.switch(False, "uid 1000")
    assert not log.recording


@pytest.mark.req("C16")
def test_a_wish_that_was_made_durable_is_recorded_when_the_power_failed_before_that(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    Files(tmp_path).set_wish(False, "uid 1000")
    opened(tmp_path).note("confirmed", "2.0")
    assert [(each["event"], each["subject"]) for each in records(tmp_path)][1:] == [("audit-off", "uid 1000")]


def test_a_wish_that_cannot_be_kept_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    medium, log = Medium(monkeypatch), filled(tmp_path, 1)
    medium.error, medium.where = errno.ENOSPC, "pwrite"
    with pytest.raises(EnvironmentFault) as caught:
        log.switch(False, "uid 1000")
    medium.error = 0
    assert (caught.value.code, log.recording, events(tmp_path)) == ("audit.write-failed", True, ["confirmed"])


@pytest.mark.req("C16")
def test_recording_that_the_settings_switch_is_recorded_as_well(tmp_path: Path) -> None:
    for recording in (False, False, True, True):
        opened(tmp_path, recording=recording).note("boot", "A")
    assert events(tmp_path) == ["audit-off", "audit-on", "boot"]


class Medium:
    """Stands before os.pwrite and os.fsync, and fails when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error, self.where, self.room = 0, "", 0
        real = {name: getattr(os, name) for name in ("pwrite", "fsync")}

        def pwrite(fd: int, data: bytes, offset: int) -> int:
            if self.error and self.where == "pwrite":
                if not self.room:
                    raise OSError(self.error, os.strerror(self.error))
                data, self.room = data[: self.room], 0  # what a full medium takes of a write
            return int(real["pwrite"](fd, data, offset))

        def fsync(fd: int) -> None:
            if self.error and self.where == "fsync":
                raise OSError(self.error, os.strerror(self.error))
            real["fsync"](fd)

        monkeypatch.setattr(os, "pwrite", pwrite)
        monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("where", ["pwrite", "fsync"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("before", [0, 2, 3], ids=["first", "same-file", "next-file"])
def test_a_medium_that_fails_stops_nothing_and_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    where: str,
    error: int,
    before: int,
) -> None:
    medium = Medium(monkeypatch)
    log = filled(tmp_path, before)
    medium.error, medium.where, medium.room = error, where, 100
    log.note("confirmed", "lost")
    log.note("confirmed", "lost, too")
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.OTA_ERROR_CODE for record in told] == ["audit.write-failed"], "once"  # type: ignore[attr-defined]
    medium.error = 0
    log.note("confirmed", "kept")
    found = [(each["event"], each["subject"], each["data"].get("lost")) for each in records(tmp_path)]
    assert found[before:] == [("audit-gap", errno.errorcode[error], 2), ("confirmed", "kept", None)]
    assert log.verify() == (True, 0)
    assert opened(tmp_path).verify() == (True, 0)


def test_an_oldest_file_that_cannot_be_removed_costs_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = filled(tmp_path, 12)
    monkeypatch.setattr("agent.audit.files.Files.make_room", lambda *_: (_ for _ in ()).throw(OSError(errno.EROFS, "")))
    for number in range(6):
        log.note("confirmed", f"later {number}")
    assert log.count == 18
    monkeypatch.undo()
    for number in range(3):
        log.note("confirmed", f"last {number}")
    assert len(list(tmp_path.glob("*.jsonl"))) == 4
    assert log.verify() == (True, 0)


def test_a_directory_that_cannot_be_used_is_told_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "audit").write_text("no directory")
    log = opened(tmp_path / "audit")
    log.note("boot", "A")
    assert (log.count, log.head, log.recording) == (0, bytes(32), True)
    assert {record.OTA_ERROR_CODE for record in caplog.records} == {"audit.write-failed", "audit.unreadable"}  # type: ignore[attr-defined]
    with pytest.raises(EnvironmentFault) as caught:
        log.tail(1)
    assert caught.value.code == "audit.unreadable"


def test_two_threads_make_one_chain(tmp_path: Path) -> None:
    log = opened(tmp_path, segments=64)
    threads = [threading.Thread(target=lambda: [log.note("scrub", "x") for _ in range(20)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each["seq"] for each in records(tmp_path)] == list(range(1, 61))
    assert log.verify() == (True, 0)


def test_hostile_texts_and_numbers_become_plain_records(tmp_path: Path) -> None:
    log = opened(tmp_path, segment_size=1 << 16)
    log.note("finished", "a\nb\udcff\u2028" + "x" * 5000, text="\x00\x7fé", number=1 << 60, many="y" * 5000)
    (record,) = records(tmp_path)
    assert (len(record["subject"]), record["data"]["text"]) == (300, "\x00\x7fé")
    assert record["data"]["number"] == str(1 << 60), "jq would round it"
    assert len((tmp_path / "000000000001.jsonl").read_bytes().splitlines()) == 2
    assert log.verify() == (True, 0)


def test_an_export_holds_what_is_there_and_is_not_disturbed_by_what_comes(tmp_path: Path) -> None:
    log = filled(tmp_path, 30)
    lines = log.export()
    begin = next(lines)
    for number in range(30):
        log.note("confirmed", f"later {number}")
    found = [entry.values["seq"] for _, entry in read_export([begin, *lines])]
    assert found[-1] == 30 and found == list(range(found[0], 31)) and len(found) > 5


def test_nothing_is_opened_before_it_is_needed(tmp_path: Path) -> None:
    log = opened(tmp_path / "audit")
    assert not (tmp_path / "audit").exists()
    assert (log.count, log.verify(), log.tail(5)) == (0, (True, 0), [])
    assert not (tmp_path / "audit").exists()


def test_the_seal_is_what_somebody_else_has_to_keep(tmp_path: Path) -> None:
    assert opened(tmp_path).seal() == ""
    log = filled(tmp_path, 3)
    assert log.seal() == f"3 {log.head.hex()}"
    assert json.loads((tmp_path / "000000000001.jsonl").read_bytes().splitlines()[-1])["hash"] == log.head.hex()


def test_records_are_told_to_the_journal_with_their_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = filled(tmp_path, 1)
    log.note("state", "idle")  # Presence tells it, with more fields
    (record,) = caplog.records
    assert record.getMessage() == "a system was made permanent: version 1 (number 1)"
    assert (record.OTA_EVENT, record.OTA_SUBJECT, record.OTA_AUDIT_SEQ) == ("confirmed", "version 1", 1)  # type: ignore[attr-defined]


def test_a_log_that_cannot_be_read_is_told_once_however_often_somebody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Everybody may read the properties Head and Count."""

    def broken(_: Files) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    log = opened(tmp_path)
    for round_ in range(1, 3):
        with monkeypatch.context() as patch:
            patch.setattr(Files, "look", broken)
            for _ in range(10):
                assert (log.count, log.head, log.recording) == (0, bytes(32), True)
        assert [record.levelno for record in caplog.records] == [logging.ERROR] * round_
        assert log.count == 0, "it was read again meanwhile"
        log._found = None
