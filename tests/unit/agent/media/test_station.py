"""What the idle daemon does about media, moment by moment; what is on them is made up, the rules are real."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from support.pretend import Clock, Disk, Environment, Patient, context

from agent.config import MediaSettings
from agent.daemon.activities.watch import Watch
from agent.daemon.context import Context
from agent.daemon.inbox import Cancelled, Consent, Stopped
from agent.daemon.machine import State
from agent.daemon.record import Record
from agent.errors import EnvironmentFault, OtaError, PolicyError
from agent.media import reach, station
from agent.media.devices import Block
from agent.media.notes import Notes
from agent.media.search import Bundle
from agent.media.station import ACTION, Station
from agent.wire import Frame

NODE = "/dev/sda1"
UP_FOR_LONG = 1000.0  # seconds
JUST_BOOTED = 30.0


class Socket:
    """A Hotplug into which a test plugs."""

    def __init__(self) -> None:
        self.there: dict[str, str] = {}
        self.news: tuple[bool, frozenset[str]] = (False, frozenset())

    def fileno(self) -> int:
        return -1

    def drain(self) -> tuple[bool, frozenset[str]]:
        news, self.news = self.news, (False, frozenset())
        return news

    def blocks(self) -> Iterator[Block]:
        return (Block(node, node, size=1, sequence=number, usb=True) for node, number in self.there.items())

    def plug(self, node: str = NODE, number: str = "1") -> None:
        self.there[node] = number
        self.news = (True, self.news[1])

    def pull(self, node: str = NODE) -> None:
        del self.there[node]
        self.news = (True, self.news[1] | {node})


class Room:
    """A station with everything around it.

    ``content`` is what is on each device: version, by path; or the error of who looks into it. ``refusals`` is what the
    installer says to a version.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, install: str = "auto", disk: Disk | None = None) -> None:
        self.disk = disk or Disk()
        self.socket = Socket()
        self.content: dict[str, Mapping[str, str] | OtaError] = {}
        self.refusals: dict[str, Exception] = {}
        self.told: dict[str, Any] = {}
        self.noted: list[tuple[str, Mapping[str, object]]] = []
        self.looks = 0
        self.clock = Clock()
        self.clock.now = UP_FOR_LONG
        self.inbox = Patient(self.clock)
        self.settings = MediaSettings(install, (), ("ext4",), "*.raucb", 2, 600.0, None)
        self.station = Station(self.settings, self.socket, frozenset(), Notes(self.disk))  # type: ignore[arg-type]  # the same interfaces
        self.context: Context = context(
            self.disk,
            Environment(),
            clock=self.clock,
            inbox=self.inbox,
            tell=self.told.update,
            audit=self,
            media=self.station,
        )
        monkeypatch.setattr(station, "mounted_medium", self._mounted)
        monkeypatch.setattr(reach, "mounted_medium", self._mounted)
        monkeypatch.setattr(station, "work", self._work)

    def note(self, event: str, subject: str = "", /, **data: object) -> None:
        self.noted.append((f"{event} {subject}", data))

    @contextmanager
    def _mounted(self, _: Context, __: MediaSettings, device: str, *___: object) -> Iterator[Any]:
        self.looks += 1
        found = self.content.get(device, {})
        if isinstance(found, OtaError):
            raise found
        yield Card(found)

    def _work(self, _: Context, record: Record, __: object, ___: object) -> Frame:
        version = record.url.split("-")[-1].removesuffix(".raucb")
        if version in self.refusals:
            raise self.refusals[version]
        return Frame({"compatible": "demo", "version": version, "manifest_hash": f"hash {version}"})

    def look(self, *, entered: bool = False) -> str:
        """The version that begins."""
        begun = self.station.look(self.context, entered=entered)
        if begun is None:
            return ""
        self.station.began(begun)
        return begun.version

    @property
    def states(self) -> list[str]:
        return [row[2] for row in self.told["Media"]]

    def restarted(self, monkeypatch: pytest.MonkeyPatch, uptime: float) -> Room:
        """The same device after a restart, with what it remembers, and whatever is plugged in."""
        again = Room(monkeypatch, self.settings.install, self.disk)
        again.content, again.clock.now = self.content, uptime
        return again


class Card:
    """A Medium."""

    complete = True

    def __init__(self, found: Mapping[str, str]) -> None:
        self.files: Sequence[Bundle] = [Bundle(path, 10, 20) for path in found]

    def open(self, path: str) -> int:
        return os.open("/dev/null", os.O_RDONLY)


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    return Room(monkeypatch)


def test_what_is_in_at_the_start_is_found_and_without_news_nothing_is_looked_at_again(room: Room) -> None:
    room.content[NODE] = {"new-2.0.0.raucb": ""}
    room.socket.there[NODE] = "1"
    assert room.look(entered=True) == "2.0.0"
    assert room.look() == ""
    assert room.look(entered=True) == ""
    assert (room.looks, room.states) == (1, ["tried"])


def test_what_was_begun_is_begun_again_only_when_it_was_plugged_out(room: Room) -> None:
    room.content[NODE] = {"new-2.0.0.raucb": ""}
    room.look()
    room.socket.plug()
    assert room.look() == "2.0.0"
    room.socket.plug("/dev/sdb", "2")
    assert room.look(entered=True) == "", "another medium is no reason"
    room.socket.pull()
    assert room.look() == ""
    room.socket.plug()
    assert room.look() == "2.0.0"


def test_out_and_in_within_one_look_is_seen_by_the_event_or_by_the_kernels_number(room: Room) -> None:
    room.content[NODE] = {"new-2.0.0.raucb": ""}
    room.socket.plug()
    assert room.look() == "2.0.0"
    room.socket.pull()
    room.socket.plug()
    assert room.look() == "2.0.0"
    room.socket.plug(number="2")
    assert room.look() == "2.0.0"


@pytest.mark.parametrize(("uptime", "begins"), [(JUST_BOOTED, ""), (UP_FOR_LONG, "2.0.0")])
def test_after_a_restart_a_medium_that_appears_early_was_in_all_the_time(
    room: Room, monkeypatch: pytest.MonkeyPatch, uptime: float, begins: str
) -> None:
    room.content[NODE] = {"new-2.0.0.raucb": ""}
    room.socket.plug()
    assert room.look() == "2.0.0"
    again = room.restarted(monkeypatch, uptime)
    assert again.look(entered=True) == "", "the kernel has not found it yet"
    again.socket.plug()
    assert again.look() == begins


def test_a_daemon_that_starts_anew_late_does_not_begin_again(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.content[NODE] = {"new-2.0.0.raucb": ""}
    room.socket.plug()
    room.look()
    again = room.restarted(monkeypatch, UP_FOR_LONG)
    again.socket.there[NODE] = "1"
    assert again.look(entered=True) == ""
    assert again.states == ["tried"]


@pytest.mark.req("C09")
def test_what_is_refused_is_told_with_its_code_and_noted(room: Room) -> None:
    room.content[NODE] = {"a-3.0.0.raucb": "", "b-0.5.0.raucb": "", "c-2.0.0.raucb": ""}
    room.refusals["3.0.0"] = PolicyError("bundle.signature-untrusted", "nobody knows the signer")
    room.socket.plug()
    assert room.look() == "2.0.0"
    assert room.states == ["refused", "present", "chosen"]
    assert room.told["Media"][0][3] == "[bundle.signature-untrusted] nobody knows the signer"
    assert [(what, data["decision"]) for what, data in room.noted] == [
        ("media ", "seen"), ("media a-3.0.0.raucb", "refused"), ("media c-2.0.0.raucb", "accepted"),
    ]  # fmt: skip
    assert room.noted[0][1] == {"decision": "seen", "device": NODE, "bundles": 3}
    assert room.noted[1][1]["code"] == "bundle.signature-untrusted"


def test_a_medium_that_cannot_be_looked_into_is_told_and_another_one_installed(room: Room) -> None:
    room.content["/dev/sdb"] = EnvironmentFault("media.mount-failed", "it cannot be mounted", details="bad superblock")
    room.content[NODE] = {"new-2.0.0.raucb": ""}
    room.content["/dev/sdc"] = {}
    for node in ("/dev/sdb", NODE, "/dev/sdc"):
        room.socket.plug(node)
    assert room.look() == "2.0.0"
    assert sorted(row[:3] for row in room.told["Media"]) == [
        (NODE, "new-2.0.0.raucb", "chosen"), ("/dev/sdb", "", "unreadable"), ("/dev/sdc", "", "empty"),
    ]  # fmt: skip
    assert "bad superblock" in {row[0]: row[3] for row in room.told["Media"]}["/dev/sdb"]


def test_the_end_of_the_daemon_ends_a_look(room: Room) -> None:
    room.content[NODE] = {"new-2.0.0.raucb": ""}
    room.refusals["2.0.0"] = Stopped()
    room.socket.plug()
    with pytest.raises(Stopped):
        room.look()


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Room:
    room = Room(monkeypatch, "ask")
    room.content[NODE] = {"new-2.0.0.raucb": ""}
    room.socket.plug()
    return room


@pytest.mark.req("C04")
def test_somebody_is_asked_first_and_what_is_approved_is_that_bundle(asking: Room) -> None:
    assert (asking.look(), asking.states) == ("", ["asks"])
    assert (asking.told["Offer"]["action"], asking.told["Offer"]["consent"]) == (ACTION, "wanted")
    yes = Consent(ACTION, approved=True)
    assert asking.station.asks(yes)
    begun = asking.station.said(asking.context, yes)
    assert begun is not None
    assert (begun.origin, begun.consent, begun.manifest_hash) == ("media", "given", "hash 2.0.0")
    assert asking.told["Offer"] == {}


def test_an_answer_to_something_else_is_none_to_this(asking: Room) -> None:
    assert not asking.station.asks(Consent(ACTION, approved=True)), "nothing is asked yet"
    asking.look()
    assert not asking.station.asks(Consent("7", approved=True))


def test_who_said_no_is_asked_again_when_it_is_plugged_in_again(asking: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    asking.look()
    assert asking.station.said(asking.context, Consent(ACTION, approved=False, reason="not now")) is None
    assert asking.states == ["denied"]
    again = asking.restarted(monkeypatch, JUST_BOOTED)
    again.socket.there[NODE] = "1"
    again.look()
    assert again.states == ["denied"]
    again.socket.pull()
    again.look()
    again.socket.plug()
    again.look()
    assert again.states == ["asks"]


def test_a_question_goes_with_its_medium(asking: Room) -> None:
    asking.look()
    asking.socket.pull()
    assert asking.look() == ""
    assert (asking.told["Offer"], asking.told["Media"]) == ({}, [])
    assert not asking.station.asks(Consent(ACTION, approved=True))


def record(state: State, **changes: Any) -> Record:
    return Record(**{"state": state, "origin": "media", "url": "new-2.0.0.raucb", "artifact": "10:20", **changes})


def opened(room: Room, what: Record) -> bool:
    with room.station.source(room.context, what, Watch(room.context, what)) as fd:
        return fd >= 0


def test_the_medium_of_an_update_is_found_under_whatever_name(room: Room) -> None:
    room.content = {NODE: EnvironmentFault("media.unreadable", "x"), "/dev/sdb": {"other.raucb": ""},
                    "/dev/sdc": {"new-2.0.0.raucb": ""}}  # fmt: skip
    for node in room.content:
        room.socket.plug(node)
    assert opened(room, record(State.INSPECTING))


@pytest.mark.parametrize("changes", [{"url": "other.raucb"}, {"artifact": "11:20"}, {"artifact": "10:21"}])
def test_another_file_is_not_gone_on_with(room: Room, changes: Mapping[str, str]) -> None:
    room.content[NODE] = {"new-2.0.0.raucb": ""}
    room.socket.plug()
    with pytest.raises(EnvironmentFault) as caught:
        opened(room, record(State.INSPECTING, **changes))
    assert (caught.value.code, caught.value.retryable) == ("media.unplugged", False)


@pytest.mark.parametrize(("state", "waited"), [(State.INSPECTING, 0.0), (State.STAGING, 600.0)])
def test_only_an_update_that_is_being_written_waits_for_its_medium_and_not_for_ever(
    room: Room, state: State, waited: float
) -> None:
    before = room.clock.now
    with pytest.raises(EnvironmentFault) as caught:
        opened(room, record(state))
    assert caught.value.code == "media.unplugged"
    assert room.clock.now - before == waited


def test_who_waits_for_a_medium_can_be_cancelled(room: Room) -> None:
    room.inbox.cancel()
    with pytest.raises(Cancelled):
        opened(room, record(State.STAGING))
