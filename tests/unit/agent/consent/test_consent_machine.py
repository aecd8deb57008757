"""An update that waits, over postponements, opt-outs, restarts and clocks that jump."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.waiting import TRUE, Device

from agent.consent.facts import URGENCIES
from agent.consent.rules import Hold
from agent.errors import PolicyError

DEADLINES = {"": 7776000, "low": 7776000, "medium": 2592000, "high": 604800, "critical": 259200, "exploited": 86400}
TOTALS = {**dict.fromkeys(DEADLINES, 100_000), "exploited": 86400}
PARTS = st.sampled_from([0.0, 0.3, 0.99, 1.0, 1.01])
UNSAVED = 900 + 5  # seconds that a reset may take out of the count, where the date tells nothing


class Waiting(RuleBasedStateMachine):
    """Counts in parallel, in the only time that is certain: that for which the device was on."""

    @initialize(urgency=st.sampled_from(["", *URGENCIES]))
    def begin(self, urgency: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        facts = {"class": "security", "urgency": urgency}
        self.device = Device(
            Path(self.folder.name), facts, metered="avoid", postpone_total=100_000.0, postpone_longest=60_000.0
        )
        self.urgency, self.installed, self.opted_out, self.agreed = urgency, False, False, False
        self.resets = self.granted = 0
        self.on = self.postponed = 0.0
        self.real = TRUE
        self.installed = False  # it would have been, if it had not been for this
        self.device.services.properties = {"Metered": 1}
        self.step(6)  # seconds: what was seen before is old
        self.on, self.real = 0.0, self.device.clock.date
        self.began = self.real

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    def step(self, seconds: float) -> None:
        """Time passes, and the worker looks."""
        held_before = hasattr(self, "holds") and Hold.POSTPONED in self.holds
        self.on += seconds
        self.real += seconds
        self.device.clock.passes(seconds)
        self.holds = self.device.look()
        if held_before and Hold.POSTPONED in self.holds:
            self.postponed += seconds
        if not self.holds:
            assert self.agreed or not self.opted_out, "a slot is written against the word of the user"
            self.installed = True

    @precondition(lambda self: not self.installed)
    @rule(seconds=st.one_of(st.integers(1, 3600), st.integers(3600, 10**6)))
    def time_passes(self, seconds: int) -> None:
        self.step(seconds)

    @precondition(lambda self: not self.installed)
    @rule(part=PARTS)
    def some_of_the_postponement_passes(self, part: float) -> None:
        self.step(self.device.notice()["postponed"] * part)

    @precondition(lambda self: not self.installed)
    @rule(part=PARTS)
    def some_of_the_time_to_the_deadline_passes(self, part: float) -> None:
        self.step(max(0.0, DEADLINES[self.urgency] - self.on) * part)

    @precondition(lambda self: not self.installed)
    @rule(date=st.one_of(st.just(0.0), st.floats(0, 4e9)))
    def the_date_is_set(self, date: float) -> None:
        self.device.clock.date = date
        self.device.clock.right = False
        self.step(0)

    @precondition(lambda self: not self.installed)
    @rule()
    def the_date_is_right_again(self) -> None:
        self.device.clock.date = self.real
        self.device.clock.right = True
        self.step(0)

    @precondition(lambda self: not self.installed)
    @rule()
    def the_daemon_is_killed(self) -> None:
        self.device.start()
        self.step(0)

    @precondition(lambda self: not self.installed)
    @rule(off=st.integers(1, 10**5), date=st.one_of(st.none(), st.just(0.0), st.floats(0, 4e9)))
    def the_power_fails(self, off: int, date: float | None) -> None:
        self.real += off + 5  # seconds from the start of the kernel to ours
        self.on += 5
        self.resets += 1
        self.device.reboot(off, self.real if date is None else date)
        self.device.clock.right = date is None
        self.step(0)

    @precondition(lambda self: not self.installed)
    @rule(part=st.sampled_from([0.1, 0.5, 1.0, 1.0, 1.0, 1.5]))
    def postpone(self, part: float) -> None:
        before = self.device.notice()
        seconds = int(max(1, before["postponable"]) * part) + (part > 1)
        try:
            self.device.desk.postpone(seconds)
        except PolicyError:
            assert before["defers-left"] == 0 or seconds > before["postponable"] - 1
        else:
            self.granted += 1
        self.step(0)

    @precondition(lambda self: not self.installed)
    @rule(auto=st.booleans())
    def auto(self, auto: bool) -> None:
        self.device.desk.set_policy("auto-security", auto, ":1.5")
        self.opted_out = not auto
        self.step(0)

    @precondition(lambda self: not self.installed and self.opted_out)
    @rule(now=st.booleans())
    def agree(self, now: bool) -> None:
        if now:
            self.device.desk.install_now()
        else:
            self.device.desk.approve("7")
        self.agreed = True
        self.step(0)

    @precondition(lambda self: not self.installed)
    @rule(metered=st.sampled_from([1, 1, 0]))
    def the_connection_changes(self, metered: int) -> None:
        self.device.services.properties = {"Metered": metered}
        self.step(6)  # seconds: what was seen before is old

    @precondition(lambda self: not self.installed and self.holds == (Hold.POSTPONED,))
    @rule()
    def wait_for_the_end_of_the_postponement(self) -> None:
        self.step((self.device.desk.change_in(self.device.record, self.holds) or 0.0) + 0.01)
        assert self.installed, "what was postponed is installed when that is over"

    @precondition(lambda self: self.installed)
    @rule()
    def rest(self) -> None:
        """The story is over."""

    @invariant()
    def nobody_postpones_for_longer_than_is_allowed(self) -> None:
        if hasattr(self, "postponed"):
            entry = self.device.desk._book.aged(self.device.record.manifest_hash)
            assert entry is not None
            assert self.on - UNSAVED * self.resets - 1 <= entry.meter.elapsed <= self.real - self.began + 1
            assert self.postponed <= TOTALS[self.urgency] + UNSAVED * self.resets + 1
            assert self.granted <= 3

    @invariant()
    def the_deadline_is_kept(self) -> None:
        if hasattr(self, "on") and self.on > DEADLINES[self.urgency] + UNSAVED * self.resets + 1:
            assert set(self.holds) <= {Hold.OPT_OUT}

    @invariant()
    def the_user_is_told(self) -> None:
        if hasattr(self, "device") and not self.installed:
            assert self.device.notice()["version"] == "2.0.0"
            assert self.device.notice()["waits-for"] == list(self.holds)


TestWaiting = pytest.mark.req("C04", "C05", "C06", "C07")(Waiting.TestCase)
TestWaiting.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
