"""What the device knows, also when another version of the agent, or nobody sensible, has written it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.daemon.knowledge import Ending, Knowledge
from agent.daemon.machine import State
from agent.daemon.memory import Memory, from_marker
from agent.daemon.record import Record
from agent.daemon.slot_status import Content
from agent.daemon.store import Store
from agent.errors import ConfigError, EnvironmentFault


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "state")
    yield store
    store.close()


@pytest.mark.req("S07")
def test_what_a_newer_agent_has_added_does_not_stop_the_older_one_after_a_fallback(store: Store) -> None:
    store.save("ending", {"outcome": "failure", "version": "2.0.0", "mood": "bad"})
    store.save("slots", {"A": {"state": "confirmed", "version": "1.0.0", "colour": "red"}})
    knowledge = Knowledge(store)
    assert knowledge.ending() == Ending("failure", "2.0.0")
    assert knowledge.content("A") == Content("confirmed", "1.0.0")


@pytest.mark.parametrize(("name", "values"), [("ending", {"finished": "soon"}), ("slots", {"A": {"changed": True}})])
def test_a_value_of_another_type_is_told_once_and_put_aside(store: Store, name: str, values: dict[str, object]) -> None:
    store.save(name, values)
    knowledge = Knowledge(store)

    def read() -> None:
        knowledge.ending()
        knowledge.content("A")

    with pytest.raises(EnvironmentFault, match="cannot be read"):
        read()
    read()
    assert (store.directory / f"{name}.json.broken").exists()


@pytest.mark.req("S05")
def test_the_floor_never_goes_down(store: Store) -> None:
    knowledge = Knowledge(store)
    knowledge.confirmed("2.0.0", 100)
    knowledge.confirmed("1.0.0", 50)
    knowledge.confirmed("", 0)
    assert (knowledge.floor(), knowledge.signed_at()) == ("2.0.0", 100)


def test_a_document_that_the_medium_does_not_give_is_told_and_stays(store: Store) -> None:
    (store.directory / "record.json").mkdir()  # read(2) fails, as it does on a broken medium
    with pytest.raises(EnvironmentFault) as caught:
        store.load("record")
    assert caught.value.code == "state.unreadable"
    assert (store.directory / "record.json").exists()


def test_a_new_device_with_a_full_disk_can_rest(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory(store)
    memory.load(trial="", booted="A", others=("B",))
    monkeypatch.setattr(store, "save", lambda *_: pytest.fail("no document means idle: nothing is to be written"))
    memory.save(Record())


@pytest.mark.req("S08")
@pytest.mark.parametrize(("booted", "state"), [("B", State.TRIAL), ("A", State.REVERTING)])
def test_with_the_record_lost_the_marker_tells_what_was_under_way(store: Store, booted: str, state: State) -> None:
    (store.directory / "record.json").write_bytes(b"\0" * 512)
    record = Memory(store).load(trial="B,7,abab", booted=booted, others=("A",) if booted == "B" else ("B",))
    assert (record.state, record.target, record.fallback, record.action_id) == (state, "B", "A", "7")
    assert record.origin == "server"


@pytest.mark.parametrize("marker", ["C,7,abab", ",,", "A B,7", "\u00e9,1,2"])
def test_a_marker_of_another_device_is_not_believed(marker: str) -> None:
    assert from_marker(marker, "A", ("B",)) == Record()


@pytest.mark.parametrize(("number", "retryable"), [(30, True), (28, True), (5, True), (20, False), (13, False)])
def test_a_state_directory_that_may_come_back_is_worth_another_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, retryable: bool
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr("agent.daemon.store.os.open", fail)
    with pytest.raises(ConfigError) as caught:
        Store(tmp_path)
    assert (caught.value.code, caught.value.retryable) == ("state.directory", retryable)


def test_a_broken_document_on_a_read_only_medium_does_not_stop_the_daemon(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (store.directory / "record.json").write_bytes(b"nonsense")

    def fail(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "rename", fail)
    assert Memory(store).load(trial="", booted="A", others=("B",)) == Record()
