"""Promises of the verdict: green for the whole soak time before the deadline, or not healthy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.health.result import CheckResult, Verdict, green, red
from agent.health.suite import Suite


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


class Scripted:
    """A check that answers from a list, then keeps its last answer; each run takes some time."""

    def __init__(self, name: str, answers: list[bool], time: Time | None = None, takes: float = 0.0) -> None:
        self.name = name
        self._answers: Iterator[bool] = iter(answers)
        self._last = True
        self._time, self._takes = time, takes
        self.runs = 0

    def run(self) -> CheckResult:
        self.runs += 1
        if self._time:
            self._time.now += self._takes
        self._last = next(self._answers, self._last)
        return green(self.name) if self._last else red(self.name, f"red in round {self.runs}")


def judge(suite: Suite, time: Time, deadline=60.0, soak=10.0, interval=2.0, cancelled=lambda: False) -> Verdict:
    return suite.evaluate(deadline, soak, interval, time.clock, time.sleep, cancelled)


def test_green_for_the_soak_time_is_healthy():
    time = Time()
    assert judge(Suite([Scripted("a", [True])]), time) == Verdict(ok=True)
    assert time.now - 1000 == pytest.approx(10)


def test_without_soak_one_green_round_is_enough():
    time = Time()
    check = Scripted("a", [True])
    assert judge(Suite([check]), time, soak=0).ok
    assert (check.runs, time.now) == (1, 1000)


@pytest.mark.req("S07", "T28")
def test_one_red_round_starts_the_soak_again():
    time = Time()
    assert judge(Suite([Scripted("a", [True, True, True, False, True])]), time).ok
    assert time.now - 1000 == pytest.approx(8 + 10), "red at 6 s, green from 8 s"


@pytest.mark.req("S07", "T28")
def test_a_check_that_stays_red_fails_and_is_named_with_its_reason():
    time = Time()
    verdict = judge(Suite([Scripted("a", [True]), Scripted("b", [False])]), time)
    assert not verdict.ok
    assert [result.name for result in verdict.failed] == ["b"]
    assert "b: red in round" in verdict.text
    assert time.now - 1000 <= 60


@pytest.mark.req("S07")
def test_a_flapping_check_never_passes_and_its_last_red_is_kept():
    verdict = judge(Suite([Scripted("flap", [True, False] * 100)]), Time())
    assert [result.name for result in verdict.failed] == ["flap"]


def test_the_decision_falls_as_soon_as_the_deadline_cannot_be_met():
    time = Time()
    judge(Suite([Scripted("a", [False])]), time, deadline=60, soak=50)
    assert 10 <= time.now - 1000 <= 14


def test_a_soak_that_would_end_after_the_deadline_is_not_enough():
    time = Time()
    verdict = judge(Suite([Scripted("slow", [True], time, takes=55)]), time)
    assert [result.name for result in verdict.failed] == ["deadline"]


def test_a_round_that_ends_after_the_deadline_proves_nothing():
    time = Time()
    verdict = judge(Suite([Scripted("slow", [True], time, takes=61)]), time, soak=0)
    assert not verdict.ok


def test_a_check_that_breaks_is_red_and_the_others_still_run(caplog):
    class Broken:
        name = "broken"

        def run(self) -> CheckResult:
            raise ZeroDivisionError("1/0")

    other = Scripted("other", [True])
    results = Suite([Broken(), other]).run_once()
    assert results[0] == red("broken", "the check broke: ZeroDivisionError: 1/0")
    assert results[1].ok
    assert "the check broken broke" in caplog.text


def test_cancelling_decides_nothing():
    time = Time()
    verdict = judge(Suite([Scripted("a", [True])]), time, cancelled=lambda: time.now > 1005)
    assert verdict.cancelled
    assert not verdict.ok


def test_no_checks_are_healthy_after_the_soak_time():
    time = Time()
    assert judge(Suite([]), time).ok
    assert time.now - 1000 == pytest.approx(10)


@given(
    answers=st.lists(st.booleans(), max_size=40),
    deadline=st.integers(1, 60),
    soak=st.integers(0, 60),
    interval=st.integers(1, 10),
    takes=st.integers(0, 5),
)
def test_healthy_means_green_all_through_the_soak_and_in_time(answers, deadline, soak, interval, takes):
    time = Time()
    rounds: list[tuple[float, bool]] = []
    scripted = Scripted("a", answers, time, takes)

    class Watched:
        name = "a"

        def run(self) -> CheckResult:
            result = scripted.run()
            rounds.append((time.now, result.ok))
            return result

    verdict = judge(Suite([Watched()]), time, float(deadline), float(soak), float(interval))
    assert not verdict.cancelled
    assert time.now <= 1000 + deadline + max(interval, takes)
    if verdict.ok:
        assert time.now <= 1000 + deadline
        last_red = max((at for at, ok in rounds if not ok), default=None)
        first_green = min(at for at, ok in rounds if ok and (last_red is None or at > last_red))
        assert time.now - first_green >= soak
    else:
        assert verdict.failed


@pytest.mark.req("S07")
def test_a_check_may_fail_so_often_in_a_row_before_it_counts():
    time = Time()
    check = Scripted("flap", [True, False, False, True, False, True])
    verdict = Suite([check], retries=2).evaluate(60, 10, 2, time.clock, time.sleep)
    assert verdict.ok
    assert time.now - 1000 == pytest.approx(10), "the soak time did not start again"


def test_one_failure_more_starts_the_soak_again():
    time = Time()
    verdict = Suite([Scripted("a", [True, False, False, False, True])], retries=2).evaluate(
        60, 10, 2, time.clock, time.sleep
    )
    assert verdict.ok
    assert time.now - 1000 == pytest.approx(8 + 10)


@pytest.mark.req("S07")
@pytest.mark.parametrize("soak", [0.0, 4.0])
def test_retries_never_confirm_a_system_whose_check_is_red(soak):
    time = Time()
    assert not Suite([Scripted("a", [False])], retries=100).evaluate(20, soak, 2, time.clock, time.sleep).ok
    after = Suite([Scripted("a", [True, False])], retries=100).evaluate(20, soak or 4, 2, time.clock, time.sleep)
    assert not after.ok


def test_a_system_that_is_green_too_late_is_told_from_one_that_is_sick():
    assert not judge(Suite([Scripted("a", [False])]), Time()).late
    verdict = judge(Suite([Scripted("a", [False] * 26 + [True])]), Time())
    assert (verdict.late, [result.name for result in verdict.failed]) == (True, ["a"])
    time = Time()
    verdict = judge(Suite([Scripted("slow", [True], time, takes=61.0)]), time)
    assert (verdict.late, [result.name for result in verdict.failed]) == (True, ["deadline"])


@pytest.mark.req("S07")
def test_a_daemon_that_is_to_end_runs_no_further_check_and_gives_no_verdict():
    stop: list[bool] = []
    first, second = Scripted("a", [False]), Scripted("b", [True])
    run = first.run

    def stopped() -> CheckResult:
        stop.append(True)
        return run()

    first.run = stopped  # type: ignore[method-assign]
    time = Time()
    suite = Suite([first, second], stopping=lambda: bool(stop))
    assert suite.evaluate(60, 10, 2, time.clock, time.sleep).cancelled
    assert second.runs == 0


def test_a_check_that_is_interrupted_because_the_daemon_is_to_end_has_not_broken(caplog):
    stop: list[bool] = []

    class Interrupted:
        name = "server"

        def run(self) -> CheckResult:
            stop.append(True)
            raise Exception

    suite = Suite([Interrupted()], stopping=lambda: bool(stop))
    assert suite.evaluate(60, 10, 2, Time().clock, Time().sleep).cancelled
    assert caplog.text == ""


def test_each_round_is_told_and_cleared_up_after():
    time, ended, rounds = Time(), [], []
    suite = Suite([Scripted("a", [True])], finish=lambda: ended.append(1))
    suite.evaluate(60, 4, 2, time.clock, time.sleep, seen=rounds.append)
    assert [[result.name for result in results] for results in rounds] == [["a"]] * 3
    assert len(ended) == 3
