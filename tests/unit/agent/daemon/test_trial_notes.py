"""The notes of a trial: seldom written, never in the way, and enough for the system that comes after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pretend import Clock

from agent.daemon.store import Store
from agent.daemon.trial_notes import PAUSE, TrialNotes, leave
from agent.health.cause.bootstatus import CARDRESET
from agent.health.cause.notes import AGENT, MAX_BOOTS, STOPPED, BootNote, Notes, from_json, lines
from agent.health.cause.why import Evidence, why
from agent.health.result import green, red

MARKER = "B,7,abcdef0123456789"
PANIC = "Panic#1 Part1\n<0>[    2.{:06d}] Kernel panic - not syncing: {}\n"


class Board:
    """The state directory and the traces of a device; each boot has a new agent."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = Clock()
        self.writes: list[str] = []
        for name in ("pstore", "watchdog/watchdog0"):
            (home / name).mkdir(parents=True)
        self.watchdog(0)
        self.store = Store(home / "state")
        save = self.store.save

        def counted(name: str, values: dict[str, object]) -> None:
            self.writes.append(name)
            save(name, values)

        self.store.save = counted  # type: ignore[method-assign]

    def notes(self) -> TrialNotes:
        settings: Any = SimpleNamespace(pstore=(self.home / "pstore",), bootstatus=self.home / "watchdog")
        return TrialNotes(self.store, settings, self.clock)

    def trial(self, boot_id: str) -> TrialNotes:
        notes = self.notes()
        notes.entered(MARKER, boot_id)
        return notes

    def panic(self, number: int, words: str) -> None:
        (self.home / "pstore" / f"dmesg-ramoops-{number}").write_text(PANIC.format(number, words))

    def watchdog(self, flags: int, options: str = "0x81a0") -> None:
        (self.home / "watchdog/watchdog0/bootstatus").write_text(f"{flags}\n")
        (self.home / "watchdog/watchdog0/options").write_text(f"{options}\n")

    def evidence(self, marker: str = MARKER, **how: Any) -> Evidence:
        return self.notes().evidence(marker, target="B", running="A", **{"reverted": False, **how})

    def code(self) -> str:
        return why(self.evidence()).code


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    board = Board(tmp_path)
    board.notes().begin(MARKER)
    yield board
    board.store.close()


@pytest.mark.req("S07")
def test_a_system_that_never_ran_leaves_nothing(board):
    assert board.code() == "boot.fallback"


@pytest.mark.req("S07")
def test_a_system_that_was_cut_off_was_seen_running(board):
    notes = board.trial("boot-1")
    board.clock.now += 60
    notes.round([green("a"), red("b", "no answer")])
    assert board.code() == "boot.power-cut"
    (boot,) = board.evidence().boots
    assert (boot.failed, boot.uptime) == (("b: no answer",), board.clock.now)


@pytest.mark.req("S07")
def test_a_panic_from_before_the_trial_is_not_its_reason(tmp_path):
    board = Board(tmp_path)
    board.panic(1, "old")
    board.notes().begin(MARKER)
    board.trial("boot-1")
    assert board.code() == "boot.power-cut"
    board.panic(2, "new")
    assert why(board.evidence()).details.startswith("Kernel panic - not syncing: new")


@pytest.mark.req("S07")
def test_a_panic_that_a_later_boot_has_cleared_away_is_still_known(board):
    board.trial("boot-1")
    board.panic(1, "first")
    board.trial("boot-2")
    (board.home / "pstore" / "dmesg-ramoops-1").unlink()
    assert board.evidence().panic == "Kernel panic - not syncing: first"


def test_a_panic_before_the_agent_started_is_noted_by_the_next_boot(board):
    board.panic(1, "early")
    board.trial("boot-2")
    (board.home / "pstore" / "dmesg-ramoops-1").unlink()
    assert board.code() == "boot.panic"


@pytest.mark.req("S07")
def test_a_watchdog_that_ended_an_earlier_boot_is_still_known(board):
    board.trial("boot-1")
    board.watchdog(CARDRESET)
    board.trial("boot-2")
    board.watchdog(0)
    assert board.code() == "boot.watchdog"


def test_a_board_whose_every_restart_looks_like_its_watchdog_is_not_believed(board):
    board.watchdog(CARDRESET)
    board.trial("boot-1")
    assert board.code() == "boot.power-cut"


def test_a_reset_that_looks_like_every_restart_of_the_board_is_not_called_a_power_cut_for_sure(board):
    board.watchdog(CARDRESET)  # also when the first attempt has hung before its agent started
    board.trial("boot-1")
    assert "or a reset that leaves no trace" in why(board.evidence()).details
    board.watchdog(0)
    assert "no watchdog was the cause" in why(board.evidence()).details


def test_a_start_of_the_agent_in_the_same_boot_is_no_reset(board):
    board.trial("boot-1")
    board.watchdog(CARDRESET)
    board.trial("boot-1").left(STOPPED)
    board.trial("boot-1")
    evidence = board.evidence()
    assert ([boot.boot_id for boot in evidence.boots], evidence.boots[0].left) == (["boot-1"], "")


@pytest.mark.req("S07")
def test_an_orderly_end_is_noted(board):
    board.trial("boot-1").left(STOPPED)
    assert board.code() == "boot.restarted"


@pytest.mark.req("S07")
def test_an_agent_that_cannot_be_built_leaves_its_reason(board):
    leave(board.store.directory, MARKER, "boot-1", 12.5, "the configuration has problems\x07")
    assert board.code() == "boot.agent"
    (boot,) = board.evidence().boots
    assert (boot.left, boot.uptime, boot.text) == (AGENT, 12.5, "the configuration has problems?")


@pytest.mark.req("S07")
def test_the_guard_of_a_trial_is_heard(board):
    board.store.save("unjudged", {"slot": "A"})
    assert board.code() == "boot.fallback"
    board.store.save("unjudged", {"slot": "B"})
    assert board.code() == "boot.unjudged"


def test_what_belongs_to_another_trial_is_no_evidence(board):
    board.trial("boot-1").left(STOPPED)
    board.panic(1, "somebody else's")
    evidence = board.evidence("B,8,0000000000000000")
    assert (evidence.boots, evidence.noted, evidence.panic) == ((), False, "")


def test_a_system_that_was_confirmed_did_not_fail_its_trial(board):
    board.trial("boot-1")
    evidence = board.evidence(confirmed=True)
    assert "confirmed" in why(evidence).details


@pytest.mark.req("S07")
def test_notes_are_written_seldom(board):
    notes = board.trial("boot-1")
    del board.writes[:]
    for _ in range(150):  # five minutes, with a check that flaps in every round
        board.clock.now += 2
        notes.round([red("a", "no")] if len(board.writes) % 2 else [green("a")])
    assert 1 <= len(board.writes) <= 300 / 5
    del board.writes[:]
    for _ in range(150):
        board.clock.now += 2
        notes.round([red("a", f"{board.clock.now}")])
    assert len(board.writes) <= 300 / PAUSE + 2


def test_a_new_trial_and_the_end_of_one_clear_everything_away(board):
    board.trial("boot-1")
    board.store.save("unjudged", {"slot": "B"})
    board.notes().begin(MARKER)
    assert board.code() == "boot.fallback"
    board.store.save("unjudged", {"slot": "B"})
    board.notes().forget()
    assert not [path.name for path in board.store.directory.iterdir() if path.suffix == ".json"]


@pytest.mark.req("S08")
def test_a_medium_that_cannot_be_written_hinders_nothing(board, caplog):
    notes = board.trial("boot-1")

    def full(_name: str, _values: object = None) -> None:
        from support.pretend import FULL

        raise FULL

    board.store.save = board.store.remove = full
    board.clock.now += 100
    notes.round([red("a", "no")])
    notes.left(STOPPED)
    notes.entered(MARKER, "boot-2")
    notes.begin(MARKER)
    notes.forget()
    assert "state.write-failed" in caplog.text


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"schema": 2}'])
def test_notes_that_cannot_be_read_are_no_notes(board, text):
    (board.store.directory / "trial.json").write_text(text)
    evidence = board.evidence()
    assert (evidence.noted, why(evidence).code) == (False, "boot.fallback")


NOTE = st.builds(
    BootNote, st.text(max_size=9), st.floats(0, 1e9), st.sampled_from(["", STOPPED, AGENT]), st.text(max_size=300),
    st.lists(st.text(max_size=400), max_size=20).map(lines),
)  # fmt: skip


@given(st.lists(NOTE, max_size=20), st.integers(0, 255), st.text(max_size=200))
def test_what_was_noted_is_read_again_and_stays_small(boots, flags, panic):
    notes = Notes(MARKER, ("0badcafe",), flags=flags, panic=panic)
    for boot in boots:
        notes = notes.with_boot(boot)
    assert len(notes.boots) <= MAX_BOOTS
    assert from_json(notes.to_json()) == notes


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["boots", "known", "x"]), inner),
        max_leaves=8,
    ),
    st.sampled_from(["marker", "known", "boots", "usual", "flags", "panic"]),
)
def test_no_document_can_hurt(value, key):
    read = from_json({**Notes(MARKER).to_json(), key: value})
    assert read is None or isinstance(read, Notes)
