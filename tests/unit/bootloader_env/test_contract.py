"""What every bootloader of ours promises, proved by booting: the same tests for all, each with a model that starts slots."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from support.loaders import BOARDS, Board
from support.steps import PowerCut, Steps

from bootloader_env.choose import KINDS
from bootloader_env.errors import BootEnvError
from bootloader_env.port import BootEnv

COUNTING = sorted(kind for kind, board in BOARDS.items() if board.attempts > 1)


@pytest.fixture(params=sorted(BOARDS))
def board(request: pytest.FixtureRequest, tmp_path) -> Iterator[Board]:
    made = BOARDS[request.param](tmp_path)
    yield made
    made.close()


@pytest.fixture
def a(board: Board) -> str:
    return board.names[0]


@pytest.fixture
def b(board: Board) -> str:
    return board.names[1]


def marker(target: str) -> str:
    return f"{target},7,{'ab' * 8}"


def restarted(board: Board, env: BootEnv) -> str:
    """A restart as the agent asks for it."""
    return board.power_on(env.capabilities.reboot_argument)


def operations(env: BootEnv, a: str, b: str) -> dict[str, Callable[[], None]]:
    return {
        "activate": lambda: env.activate(b, fallback=a, trial=marker(b)),
        "confirm": lambda: env.confirm(b),
        "revert": lambda: env.revert(b, a),
        "mark_good": lambda: env.mark_good(a),
    }


def test_every_kind_but_noop_is_tested_here() -> None:
    assert {board.kind for board in BOARDS.values()} | {"noop"} == set(KINDS)


def test_a_board_from_the_factory_boots_the_first_slot(board: Board, a: str) -> None:
    assert board.power_on() == a
    state = board.open(a).read()
    assert (state.order[0], state.trial) == (a, "")


@pytest.mark.req("S02", "S07")
def test_an_activated_slot_boots_next_and_the_running_one_after_it(board: Board, a: str, b: str) -> None:
    board.power_on()
    env = board.open(a)
    env.activate(b, fallback=a, trial=marker(b))
    state = env.read()
    assert (state.order[:2], state.primary, state.trial) == ((b, a), b, marker(b))
    assert state.slots[a].good
    assert state.slots[b].good
    assert restarted(board, env) == b


@pytest.mark.req("S07")
def test_without_a_confirmation_the_bootloader_goes_back_after_the_promised_attempts(
    board: Board, a: str, b: str
) -> None:
    board.power_on()
    env = board.open(a)
    env.activate(b, fallback=a, trial=marker(b))
    booted = [restarted(board, env)]
    while booted[-1] == b and len(booted) < 6:
        assert board.open(b).read().trial == marker(b)
        booted.append(board.power_on())
    if env.capabilities.trial_attempts == 0 == board.attempts:
        assert booted == [b] * 6  # said in capabilities, and in the manual
        return
    promised = env.capabilities.trial_attempts or board.attempts  # of a custom one only the program knows
    assert booted == [*[b] * promised, a]
    assert board.open(a).read().trial == marker(b)


@pytest.mark.req("S03")
def test_a_confirmed_slot_stays_the_choice(board: Board, a: str, b: str) -> None:
    board.power_on()
    env = board.open(a)
    env.activate(b, fallback=a, trial=marker(b))
    restarted(board, env)
    env = board.open(b)
    env.confirm(b)
    state = env.read()
    assert (state.primary, state.trial, state.slots[b].good) == (b, "", True)
    for _ in range(5):
        assert board.power_on() == b
        assert board.open(b).read().trial == ""
        board.open(b).mark_good(b)


@pytest.mark.req("S07")
def test_a_reverted_slot_does_not_boot_and_the_good_one_does(board: Board, a: str, b: str) -> None:
    board.power_on()
    env = board.open(a)
    env.activate(b, fallback=a, trial=marker(b))
    restarted(board, env)
    env = board.open(b)
    env.revert(b, a)
    state = env.read()
    assert (state.primary, state.trial) == (a, "")
    assert (state.slots[b].good, state.slots[b].attempts) == (False, 0)
    for _ in range(5):
        assert restarted(board, env) == a
        board.open(a).mark_good(a)


def test_a_reverted_slot_can_be_activated_again(board: Board, a: str, b: str) -> None:
    board.power_on()
    env = board.open(a)
    for _ in range(3):
        env.revert(b, a)
        env.activate(b, fallback=a, trial=marker(b))
        assert restarted(board, env) == b
        board.open(b).revert(b, a)
        assert board.power_on() == a


def test_slots_take_turns(board: Board) -> None:
    booted = board.power_on()
    for _ in range(4):
        (other,) = set(board.names) - {booted}
        env = board.open(booted)
        env.revert(other, booted)
        env.activate(other, fallback=booted, trial=marker(other))
        booted = restarted(board, env)
        assert booted == other
        board.open(booted).confirm(booted)
        assert board.open(booted).read().trial == ""


@pytest.mark.req("S07")
@pytest.mark.parametrize("kind", COUNTING)
def test_marking_good_gives_the_attempts_back(kind: str, tmp_path) -> None:
    board = BOARDS[kind](tmp_path)
    try:
        first = board.names[0]
        for _ in range(5):
            assert board.power_on() == first
            board.open(first).mark_good(first)
        assert board.open(first).read().slots[first].good
    finally:
        board.close()


def test_marking_good_keeps_the_order_and_the_trial(board: Board, a: str, b: str) -> None:
    env = board.open(board.power_on())
    env.activate(b, fallback=a, trial=marker(b))
    before = env.read()
    env.mark_good(a)
    after = env.read()
    assert (after.order, after.trial) == (before.order, marker(b))
    assert after.slots[a].good


def test_the_bootloader_tells_what_it_has_booted_or_nothing(board: Board, a: str, b: str) -> None:
    env = board.open(board.power_on())
    assert env.current() in (a, "")
    told = env.current()
    env.activate(b, fallback=a, trial=marker(b))
    restarted(board, env)
    assert env.current() == (b if told else "")
    assert bool(told) == (board.kind not in ("uboot", "grub"))


@pytest.mark.parametrize("operation", ["activate", "confirm", "revert", "mark_good"])
def test_nothing_is_written_when_nothing_would_change(board: Board, a: str, b: str, operation: str) -> None:
    env = board.open(board.power_on())
    call = operations(env, a, b)[operation]
    call()
    steps, before = Steps(), board.snapshot()
    steps.left = 1000
    with steps.watched():
        call()
    assert board.snapshot() == before
    if board.kind != "custom":  # only the program of a custom bootloader knows whether there is anything to change
        assert steps.taken == 0


def test_a_name_that_is_no_slot_is_refused_and_nothing_is_written(board: Board, a: str) -> None:
    env = board.open(board.power_on())
    before = board.snapshot()
    for call in (
        lambda: env.activate("C", fallback=a, trial=""),
        lambda: env.activate(a, fallback="C", trial=""),
        lambda: env.confirm("C"),
        lambda: env.revert("C", a),
        lambda: env.mark_good("A_LEFT=1"),
    ):
        with pytest.raises(BootEnvError) as caught:
            call()
        assert caught.value.code == "bootenv.unknown-bootname"
    assert board.snapshot() == before


@pytest.mark.parametrize("trial", ["x" * 101, "a\nb", "ä", "a\0b"])
def test_a_trial_that_could_not_be_stored_everywhere_is_refused(board: Board, a: str, b: str, trial: str) -> None:
    before = board.snapshot()
    with pytest.raises(ValueError, match="printable"):
        board.open(a).activate(b, fallback=a, trial=trial)
    assert board.snapshot() == before


def test_one_slot_cannot_play_both_parts(board: Board, a: str) -> None:
    with pytest.raises(ValueError, match="both parts"):
        board.open(a).activate(a, fallback=a, trial="")
    with pytest.raises(ValueError, match="both parts"):
        board.open(a).revert(a, a)


@pytest.mark.req("S08", "S33")
@pytest.mark.parametrize("operation", ["activate", "confirm", "revert"])
def test_a_power_cut_before_any_step_is_harmless_and_the_call_can_be_made_again(
    board: Board, a: str, b: str, operation: str
) -> None:
    """Whatever is cut, a slot of ours boots, the trial is known while the target is unproven, and the same call ends it."""
    env = board.open(board.power_on())
    env.revert(b, a)
    booted = a
    if operation != "activate":
        env.activate(b, fallback=a, trial=marker(b))
        booted = restarted(board, env)
    kept, cuts = board.snapshot(), 0
    while True:
        board.restore(kept)
        env, steps = board.open(booted), Steps()
        steps.left = cuts
        try:
            with steps.watched():
                operations(env, a, b)[operation]()
        except PowerCut:
            pass
        else:
            break
        cuts += 1
        now = board.power_on(env.capabilities.reboot_argument if operation == "activate" else "")
        assert now in (a, b)
        if operation == "activate" and now == b:
            assert board.open(b).read().trial == marker(b)
        if operation == "confirm" and now == b and board.open(b).read().trial == "":
            assert board.lasting() == b
        operations(board.open(now), a, b)[operation]()
        state = board.open(now).read()
        assert state.trial == (marker(b) if operation == "activate" else "")
        assert state.primary == (a if operation == "revert" else b)
    assert cuts > 0
