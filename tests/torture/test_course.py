"""Two cuts after which the same must happen have the same course; what was not booted yet is booted first."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from torture.course import AGAIN, Queue, course, driven, step
from torture.environment import Environment
from torture.judge import Documents, Found
from torture.results import Course, Cut, Cuts

ENVIRONMENT = Environment({"BOOT_ORDER": "B A", "BOOT_B_LEFT": "2", "kernel": "here"}, (True, False), ("B", "A"))


def found(environment: Environment = ENVIRONMENT, **documents: object) -> Found:
    values = {"record": {"state": "trial", "outcome": ""}, **documents}
    return Found(environment, {"A": "old", "B": "new"}, Documents(values))


def message(execution: str, finished: str = "none") -> dict[str, object]:
    return {"feedback": {"execution": execution, "finished": finished, "details": ["at 12:00"]}}


def cut(number: int, of: str = "record idle", *, killed: bool = False) -> Cut:
    return Cut(number, 1.0 * number, "system", "RUNNING", of, killed)


def test_a_course_names_environment_slots_documents_and_server():
    outbox = {"entries": [message("proceeding"), message("proceeding"), message("closed", "success")]}
    text = course(found(outbox=outbox, ending={"outcome": "success"}, facts={"floor": "1.5.0"}), "RUNNING")
    assert text == (
        "BOOT_B_LEFT=2 BOOT_ORDER=B A | 10 | A:old B:new | record trial | to tell proceeding/none closed/success "
        "| remembers success | floor 1.5.0 | server RUNNING"
    )


def test_the_step_of_an_update_is_in_its_course():
    assert step(course(found(), "RUNNING")) == "trial"
    assert step(course(found(record={"state": "reporting", "outcome": "failure"}), "RUNNING")) == "reporting"


def test_times_and_texts_make_no_other_course():
    one = found(record={"state": "trial", "outcome": "", "entered": 1.5, "checkpoints": {"rootfs": 4096}})
    other = found(record={"state": "trial", "outcome": "", "entered": 9.0, "checkpoints": {}})
    assert course(one, "RUNNING") == course(other, "RUNNING")


@pytest.mark.parametrize(
    ("other", "status"),
    [
        (found(), "FINISHED"),
        (found(replace(ENVIRONMENT, valid=(True, True))), "RUNNING"),
        (found(record={"state": "confirming", "outcome": ""}), "RUNNING"),
        (found(outbox={"entries": [message("closed", "success")]}), "RUNNING"),
        (found(ending={"outcome": "success"}), "RUNNING"),
    ],
)
def test_whatever_decides_how_it_goes_on_makes_another_course(other, status):
    assert course(other, status) != course(found(), "RUNNING")


def test_what_was_never_booted_comes_first_and_of_that_what_is_near_its_end():
    queue = Queue(Counter({"record reporting": 1}))
    for each in (cut(1), cut(2, "record reporting"), cut(3, "record trial")):
        assert queue.wants(each, 1)
        queue.add(each, 1)
    taken = [queue.take(), queue.take(), queue.take(), queue.take()]
    assert [kept and kept.cut.number for kept in taken] == [3, 1, 2, None]


def test_a_course_that_was_booted_or_waits_often_enough_is_not_copied():
    queue = Queue(Counter({"record idle": AGAIN - 1}))
    assert queue.wants(cut(1), 1)
    queue.add(cut(1), 1)
    assert not queue.wants(cut(2), 1)
    assert queue.wants(cut(3, "record trial"), 1)


def test_when_there_are_too_many_copies_one_of_the_least_value_is_given_up():
    queue = Queue(Counter())
    pairs = [cut(number, f"record idle {number // AGAIN}") for number in range(9 * AGAIN)]
    given_up = [queue.add(each, 1) for each in pairs if queue.wants(each, 1)]
    assert [each.cut.number for each in given_up if each] == [13, 11], "the second of a kind"
    near = cut(20, "record trial")
    assert queue.wants(near, 1)
    assert queue.add(near, 1).cut.number == 9
    assert queue.take().cut == near


def test_cuts_of_cuts_come_to_an_end():
    queue = Queue(Counter())
    assert [queue.wants(cut(1), depth) for depth in (1, 2, 3, 4)] == [True, True, True, False]


def test_a_cut_counts_as_booted_when_a_run_began_there_or_the_machine_was_killed():
    cuts = (cut(1), cut(2, killed=True), cut(3))
    runs = [
        Course(1, 4, 0, 1, cuts, (), (), (), "FINISHED", "B", 9.0),
        Course(2, 4, 3, 1, (cut(4),), (), (), (), "FINISHED", "B", 9.0),
    ]
    board = Cuts("uboot-fat", runs)
    assert [each.number for each in board.booted] == [2, 3]
    assert driven(board.booted) == {"record idle": 2}
