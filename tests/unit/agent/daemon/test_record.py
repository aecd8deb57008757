"""The record and its memory: exact, durable, and never guessed at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.daemon.machine import State
from agent.daemon.memory import Memory
from agent.daemon.record import Reason, Record, from_json
from agent.daemon.store import Store
from agent.errors import EnvironmentFault

TEXT = st.text(max_size=30)
RECORDS = st.builds(
    Record,
    state=st.sampled_from(State),
    origin=st.sampled_from(["", "server", "local"]),
    action_id=TEXT,
    href=TEXT,
    url=TEXT,
    size=st.integers(0, 2**50),
    entered=st.floats(0, 1e9),
    attempts=st.integers(0, 1000),
    checkpoints=st.dictionaries(TEXT, st.integers(0, 2**50), max_size=4),
    furthest=st.integers(0, 2**52),
    facts=st.dictionaries(TEXT, TEXT, max_size=4),
    reason=st.one_of(st.none(), st.builds(Reason, TEXT, TEXT, TEXT, TEXT)),
)


@given(RECORDS)
def test_a_record_survives_its_storage(record: Record) -> None:
    assert from_json(json.loads(json.dumps(record.to_json()))) == record


@given(RECORDS, st.data())
def test_a_damaged_record_is_refused_not_guessed(record: Record, data: st.DataObject) -> None:
    values = record.to_json()
    key = data.draw(st.sampled_from(sorted(values)))
    values[key] = data.draw(st.sampled_from([[], -5, "?" * 5000, {"x": {}}, True]))
    with pytest.raises(EnvironmentFault) as caught:
        from_json(values)
    assert caught.value.code == "state.unreadable"


@pytest.mark.parametrize("change", [{"extra": 1}, {"schema": 5}])
def test_a_record_of_another_version_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(EnvironmentFault):
        from_json({**Record().to_json(), **change})


SINCE_3 = ("download", "window", "consent", "told", "artifact", "announced", "expected", "switched")


@pytest.mark.parametrize(
    ("schema", "missing"), [(1, ("furthest", "classes", *SINCE_3, "facts")), (2, (*SINCE_3, "facts")), (3, ("facts",))]
)
def test_a_record_of_a_version_before_is_taken_over(schema: int, missing: tuple[str, ...]) -> None:
    values = {key: value for key, value in RECORD.to_json().items() if key not in missing}
    assert from_json({**values, "schema": schema}) == RECORD


def test_a_file_that_a_person_handed_over_before_needs_no_other_consent() -> None:
    values = {key: value for key, value in Record(origin="local").to_json().items() if key != "facts"}
    assert from_json({**values, "schema": 3}).consent == "now"


def test_an_old_record_that_waits_for_its_window_is_not_taken_for_a_download() -> None:
    values = {key: value for key, value in RECORD.to_json().items() if key not in (*SINCE_3, "facts")}
    old = from_json({**values, "schema": 2, "state": "waiting", "update": "skip"})
    assert (old.download, old.window) == ("forced", "unavailable")


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path / "state")
    yield store
    store.close()


RECORD = Record(state=State.TRIAL, origin="server", action_id="7", manifest_hash="ab" * 32, target="B", fallback="A")


def load(store: Store, *, trial: str = "", booted: str = "A") -> Record:
    return Memory(store).load(trial=trial, booted=booted, others=("B",) if booted == "A" else ("A",))


def test_without_a_record_the_device_is_idle(store: Store) -> None:
    assert load(store).state is State.IDLE


def test_what_was_saved_is_loaded(store: Store) -> None:
    Memory(store).save(RECORD)
    assert load(store, trial=RECORD.trial_marker(), booted="B") == RECORD


@pytest.mark.req("S08", "T27")
@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema": 1}'])
def test_a_lost_record_is_rebuilt_from_the_boot_environment(store: Store, damage: str) -> None:
    (store.directory / "record.json").write_text(damage)
    on_trial = load(store, trial=RECORD.trial_marker(), booted="B")
    assert (on_trial.state, on_trial.target, on_trial.fallback, on_trial.action_id) == (State.TRIAL, "B", "A", "7")
    assert (store.directory / "record.json.broken").read_text() == damage


@pytest.mark.req("S07")
def test_a_lost_record_after_a_fallback_is_still_reported_as_a_failure(store: Store) -> None:
    fallen = load(store, trial=RECORD.trial_marker(), booted="A")
    assert (fallen.state, fallen.target, fallen.fallback) == (State.REVERTING, "B", "A")
    assert fallen.reason is not None and fallen.reason.code == "boot.fallback"


def test_an_idle_record_is_not_written_again_and_again(store: Store) -> None:
    memory = Memory(store)
    memory.save(Record(attempts=1))
    before = (store.directory / "record.json").stat().st_ino
    memory.save(Record(attempts=2))
    assert (store.directory / "record.json").stat().st_ino == before


@pytest.mark.req("T26")
@pytest.mark.parametrize("marker", ["C,7,ff", "garbage", ",,", "\x00"])
def test_a_marker_that_names_no_slot_is_ignored(store: Store, marker: str) -> None:
    assert load(store, trial=marker, booted="B").state is State.IDLE
