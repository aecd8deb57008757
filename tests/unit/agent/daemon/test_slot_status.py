"""What is known of the slots: exact, bounded, taken over from before, and noted at each step of an update."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pretend import Disk, Environment, context

from agent.daemon.activities import holdings
from agent.daemon.context import Context
from agent.daemon.knowledge import Knowledge
from agent.daemon.record import Record
from agent.daemon.slot_status import MAX_SLOTS, MAX_TEXT, Content, Holdings, SlotStatus, from_json
from agent.daemon.store import MAX_DOCUMENT, Store
from agent.errors import EnvironmentFault
from agent.wire import Frame

TEXT = st.text(max_size=30)
NUMBER = st.integers(0, 2**50)
STATUSES = st.builds(
    SlotStatus,
    status=st.sampled_from(["", "pending", "ok", "failed"]),
    bundle_version=TEXT,
    bundle_description=TEXT,
    sha256=TEXT,
    size=NUMBER,
    installed_count=NUMBER,
    activated_timestamp=NUMBER,
    scrubbed_result=TEXT,
)
HOLDINGS = st.builds(
    Holdings,
    groups=st.dictionaries(TEXT, st.builds(Content, TEXT, TEXT, TEXT, NUMBER), max_size=4),
    slots=st.dictionaries(TEXT, STATUSES, max_size=4),
)
UPDATE = Record(
    origin="server", action_id="7", version="2.0.0", manifest_hash="ab" * 32, classes="rootfs", target="B", fallback="A"
)
DIGEST = "cd" * 32


@given(HOLDINGS)
def test_what_is_known_survives_its_storage(known: Holdings) -> None:
    assert from_json(json.loads(json.dumps(known.to_json()))) == known


@pytest.mark.parametrize(
    "damage",
    [
        {"schema": 3},
        {"schema": True},
        {"groups": []},
        {"slots": {str(number): {} for number in range(MAX_SLOTS + 1)}},
        {"slots": {"rootfs.0": {"status": "perhaps"}}},
        {"slots": {"rootfs.0": {"size": "8"}}},
        {"slots": {"rootfs.0": {"size": True}}},
        {"slots": {"rootfs.0": {"size": -1}}},
        {"slots": {"rootfs.0": {"size": 1 << 70}}},
        {"slots": {"rootfs.0": {"sha256": "x" * (MAX_TEXT + 1)}}},
        {"slots": {"rootfs.0": []}},
        {"groups": {"A": {"changed": "now"}}},
    ],
)
def test_a_damaged_document_is_put_aside_told_once_and_not_guessed_at(
    tmp_path: Path, damage: dict[str, object]
) -> None:
    store = Store(tmp_path)
    store.save("slots", {**Holdings().to_json(), **damage})
    knowledge = Knowledge(store)
    with pytest.raises(EnvironmentFault) as caught:
        knowledge.holdings()
    assert (caught.value.code, "put aside" in caught.value.details) == ("state.unreadable", True)
    assert knowledge.holdings() == Holdings()
    assert (tmp_path / "slots.json.broken").exists()
    store.close()


def test_a_document_from_before_is_taken_over_and_written_in_the_new_form(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save("slots", {"A": {"state": "confirmed", "version": "1.0.0", "manifest_hash": "ab", "changed": 5}})
    knowledge = Knowledge(store)
    assert knowledge.content("A") == Content("confirmed", "1.0.0", "ab", 5)
    knowledge.change_holdings(lambda now: now.with_group("B", Content("pending", "2.0.0")))
    saved = store.load("slots")
    assert saved is not None and saved["schema"] == 2
    assert knowledge.content("A") == Content("confirmed", "1.0.0", "ab", 5)
    store.close()


def test_the_keys_are_those_of_raucs_status_file() -> None:
    status = SlotStatus("ok", bundle_version="2.0.0", sha256=DIGEST, size=8, installed_count=1, activated_timestamp=5)
    assert status.facts() == {
        "status": "ok", "bundle.version": "2.0.0", "sha256": DIGEST, "size": "8", "installed.count": "1",
        "activated.timestamp": "5",
    }  # fmt: skip


def test_the_largest_document_can_be_read_again() -> None:
    long = "\u00e9" * MAX_TEXT  # JSON writes six bytes for it
    status = SlotStatus("ok", long, long, long, long, long, long, long, 1 << 61, long, long)
    known = Holdings(
        {long[:-2] + str(number): Content("installed", long, long) for number in range(10, 10 + 32)},
        {f"rootfs.{number}": status for number in range(MAX_SLOTS)},
    )
    text = json.dumps(known.to_json(), indent=1, sort_keys=True)
    assert len(text) < MAX_DOCUMENT
    assert from_json(json.loads(text)) == known


def test_nothing_is_written_when_only_the_time_has_changed() -> None:
    disk = Disk()
    knowledge = Knowledge(disk)  # type: ignore[arg-type]  # the same interface
    knowledge.change_holdings(lambda now: now.with_group("A", Content("installed", "1", "ab", 5)))
    disk.strike = lambda: pytest.fail("written again")
    knowledge.change_holdings(lambda now: now.with_group("A", Content("installed", "1", "ab", 6)))


@pytest.fixture
def here() -> Context:
    return context(Disk(), Environment())


def slot_b(here: Context) -> SlotStatus:
    return here.knowledge.holdings().slot("rootfs.1")


def answer(**changes: object) -> Frame:
    result = {"slot": "rootfs.1", "sha256": DIGEST, "size": 4096, "changed_by": "", "bytes": True, **changes}
    about = {"bundle": {"description": "nightly", "build": "17"}, "files": {"rootfs": changes.get("file", "root.img")}}
    return Frame({"op": "installed", "written": 4096, "results": [result], **about})


@pytest.mark.req("S08")
def test_a_slot_is_pending_before_the_first_byte_and_ok_after_it_was_read_back(here: Context) -> None:
    holdings.began(here, UPDATE)
    status = slot_b(here)
    assert (status.status, status.bundle_version, status.sha256, status.comparable) == ("pending", "2.0.0", "", False)
    holdings.written(here, UPDATE, answer())
    status = slot_b(here)
    assert (status.status, status.sha256, status.size, status.filename) == ("ok", DIGEST, 4096, "root.img")
    assert (status.bundle_description, status.bundle_build, status.bundle_compatible) == ("nightly", "17", "demo")
    assert (status.installed_count, status.installed_transaction) == (1, f"7 {'ab' * 32}")
    assert status.installed_timestamp == int(here.clock.wall())
    assert status.comparable


def test_what_an_unfinished_update_leaves_has_failed(here: Context) -> None:
    holdings.began(here, UPDATE)
    holdings.given_up(here, UPDATE)
    assert slot_b(here).status == "failed"


def test_a_complete_slot_stays_complete_when_its_system_turns_out_bad(here: Context) -> None:
    holdings.began(here, UPDATE)
    holdings.written(here, UPDATE, answer())
    holdings.given_up(here, UPDATE)
    holdings.settled(here, UPDATE, "bad")
    assert (slot_b(here).status, here.knowledge.content("B").state) == ("ok", "bad")


def test_a_system_that_died_before_its_writing_was_noted_is_not_compared(here: Context) -> None:
    holdings.began(here, UPDATE)
    holdings.written(here, UPDATE, answer())
    for state in ("installed", "activated"):
        holdings.settled(here, UPDATE, state)
        assert slot_b(here).comparable
    holdings.settled(here, UPDATE, "bad")
    assert (slot_b(here).changed, slot_b(here).comparable) == ("use", False)


def test_slots_that_the_bundle_has_no_image_for_keep_what_they_hold(here: Context) -> None:
    here.knowledge.change_holdings(lambda now: now.with_slots({"rootfs.1": SlotStatus("ok", sha256=DIGEST)}))
    other = Record(**{**{name: getattr(UPDATE, name) for name in UPDATE.__slots__}, "classes": "appfs"})
    holdings.began(here, other)
    assert slot_b(here).status == "ok"


def test_an_installation_that_is_repeated_after_a_crash_is_counted_once(here: Context) -> None:
    for _ in range(3):
        holdings.began(here, UPDATE)
        holdings.written(here, UPDATE, answer())
    holdings.settled(here, UPDATE, "installed")
    assert slot_b(here).installed_count == 1
    holdings.began(here, UPDATE)
    holdings.written(here, UPDATE, answer())
    assert slot_b(here).installed_count == 2, "this is another one"


@pytest.mark.parametrize("noted", [["activated", "activated", "confirmed"], ["confirmed", "confirmed"]])
def test_a_switch_is_counted_once_also_when_a_note_of_it_was_lost(here: Context, noted: list[str]) -> None:
    holdings.began(here, UPDATE)
    holdings.written(here, UPDATE, answer())
    for state in ["installed", *noted]:
        holdings.settled(here, UPDATE, state)
    assert slot_b(here).activated_count == 1
    assert slot_b(here).activated_timestamp == int(here.clock.wall())


@pytest.mark.parametrize(
    ("told", "changed"),
    [
        ({"changed_by": "post-install"}, "hook"),
        ({"changed_by": "handler", "sha256": ""}, "hook"),
        ({"bytes": False}, "unpacked"),
    ],
)
def test_a_slot_that_does_not_hold_the_bytes_of_its_image_is_not_compared(
    here: Context, told: dict[str, object], changed: str
) -> None:
    holdings.began(here, UPDATE)
    holdings.written(here, UPDATE, answer(**told))
    assert (slot_b(here).status, slot_b(here).changed, slot_b(here).comparable) == ("ok", changed, False)


def test_slots_that_are_not_configured_any_more_are_forgotten_with_the_next_update(here: Context) -> None:
    here.knowledge.change_holdings(
        lambda now: now.with_group("old", Content("confirmed", "1")).with_slots({"old.0": SlotStatus("ok")})
    )
    holdings.began(here, UPDATE)
    now = here.knowledge.holdings()
    assert "old" not in now.groups
    assert set(now.slots) == {"rootfs.1"}


def test_texts_of_a_bundle_cannot_make_the_document_unreadable(here: Context) -> None:
    holdings.began(here, UPDATE)
    told = answer()
    long = Frame({**told.header, "bundle": {"description": "d" * 10_000, "build": "b" * 10_000}})
    holdings.written(here, UPDATE, long)
    assert from_json(here.knowledge.holdings().to_json()).slot("rootfs.1").status == "ok"


def test_a_slot_that_its_system_writes_to_is_no_longer_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    here = context(Disk(), Environment())
    here.knowledge.change_holdings(
        lambda now: now.with_slots({name: SlotStatus("ok", sha256=DIGEST) for name in ("rootfs.0", "rootfs.1")})
    )
    monkeypatch.setattr(holdings, "written_to", lambda _device: "/")
    holdings.note_use(here)
    now = here.knowledge.holdings()
    assert (now.slot("rootfs.0").changed, now.slot("rootfs.1").changed) == ("use", "")


def test_what_cannot_be_noted_does_not_keep_an_update_from_ending() -> None:
    disk = Disk()
    here = context(disk, Environment())
    holdings.began(here, UPDATE)
    disk.full = True
    holdings.given_up(here, UPDATE)
    disk.documents["slots"] = {"schema": 99}
    holdings.given_up(here, UPDATE)
    holdings.note_use(here)
