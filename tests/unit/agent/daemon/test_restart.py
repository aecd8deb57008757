"""A restart in order: asked of logind (a double of it on a real bus), announced, and kept back while somebody blocks it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gi.repository import GLib
from support.bus import private_bus

from agent.bus.calls import Bus, BusCallError
from agent.daemon import restart
from agent.daemon.restart import LOGIND, Restart, by_command
from agent.errors import EnvironmentFault

MOCK = "org.freedesktop.DBus.Mock"
# What the template of python-dbusmock does not have yet; signatures of org.freedesktop.login1(5).
MORE = [("SetRebootParameter", "s"), ("SetWallMessage", "sb"), ("ScheduleShutdown", "st")]


class Logind:
    """The double, and what it was asked."""

    def __init__(self, address: str) -> None:
        self.bus = Bus(address)
        self._calls = Bus(address)
        for name, signature in MORE:
            self.add(name, signature)

    def mock(self, method: str, signature: str, *values: object) -> Any:
        return self._calls.call(LOGIND[0], LOGIND[1], MOCK, method, signature, *values)

    def add(self, name: str, signature: str, code: str = "") -> None:
        self.mock("AddMethod", "sssss", LOGIND[2], name, signature, "", code)

    def login(self, kind: str) -> None:
        path = self.mock("AddSession", "ssusb", "c1", "seat0", 1000, "somebody", True)[0]
        self._calls.call(
            LOGIND[0], path, MOCK, "UpdateProperties", "sa{sv}", restart._SESSION, {"Class": GLib.Variant("s", kind)}
        )

    def block(self, what: str = "sleep:shutdown", mode: str = "block") -> Callable[[], None]:
        """Blocks until what it returns is called."""
        *_, fds = self._calls.call(*LOGIND, "Inhibit", "ssss", what, "backup", "runs", mode)
        return lambda: os.close(fds[0])

    def wait_free(self) -> None:
        """Until it has seen that nobody blocks any more: it runs on its own."""
        end = time.monotonic() + 10
        while self._calls.call(*LOGIND, "ListInhibitors")[0]:
            assert time.monotonic() < end
            time.sleep(0.01)

    def asked(self) -> list[tuple[str, list[object]]]:
        (calls,) = self._calls.call(LOGIND[0], LOGIND[1], MOCK, "GetCalls")
        return [(name, arguments) for _, name, arguments in calls]


class Time:
    """Passes only in pauses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.on_pause: Callable[[], None] = lambda: None

    def pause(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)
        self.on_pause()


def _when_there(address: str) -> Logind:
    end = time.monotonic() + 10
    while True:
        try:
            return Logind(address)
        except BusCallError:
            assert time.monotonic() < end
            time.sleep(0.02)


@pytest.fixture
def logind(tmp_path: Path) -> Iterator[Logind]:
    with private_bus(tmp_path) as address:
        environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address}
        command = ["/usr/bin/python3", "-m", "dbusmock", "--system", "--template", "logind"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
            try:
                yield _when_there(address)
            finally:
                process.kill()


@pytest.fixture
def passing() -> Time:
    return Time()


def restarting(logind: Logind, passing: Time, told: list[int] | None = None, **more: Any) -> Restart:
    return Restart(
        (), logind.bus, warning=60, patience=100, pause=passing.pause, clock=lambda: passing.now, wall=lambda: 1e9,
        announce=(told if told is not None else []).append, **more,
    )  # fmt: skip


def test_a_device_that_nobody_uses_restarts_at_once(logind: Logind, passing: Time) -> None:
    told: list[int] = []
    restarting(logind, passing, told)()
    assert logind.asked()[-1] == ("Reboot", [False])
    assert (told, passing.now) == ([0], 0)


@pytest.mark.req("C07")
def test_somebody_who_is_logged_in_is_warned(logind: Logind, passing: Time) -> None:
    logind.login("user")
    told: list[int] = []
    restarting(logind, passing, told)()
    names = [name for name, _ in logind.asked()]
    assert logind.asked()[-1] == ("ScheduleShutdown", ["reboot", (10**9 + 60) * 10**6])
    assert "SetWallMessage" in names
    assert "Reboot" not in names, "logind does it when the time is over"
    assert (told, passing.now) == ([60], 60)


def test_a_greeter_is_nobody(logind: Logind, passing: Time) -> None:
    logind.login("greeter")
    restarting(logind, passing)()
    assert passing.now == 0


def test_the_argument_for_the_bootloader_is_set_first(logind: Logind, passing: Time) -> None:
    restarting(logind, passing)("0 tryboot")
    assert logind.asked()[0] == ("SetRebootParameter", ["0 tryboot"])
    assert logind.asked()[-1] == ("Reboot", [False])


def test_what_blocks_a_shutdown_is_waited_for(logind: Logind, passing: Time) -> None:
    let_go = logind.block()
    seen: list[Any] = []
    passing.on_pause = lambda: (let_go(), logind.wait_free()) if passing.now == 30 else None
    restarting(logind, passing, blocked=seen.append)()
    assert 30 <= passing.now < 100
    assert seen == [(("backup", "runs"),), ()], "everybody can see what the device waits for, and that it does no more"
    assert logind.asked()[-1] == ("Reboot", [False])


def test_it_is_not_waited_for_longer_than_configured_and_then_logind_is_told_so(
    logind: Logind, passing: Time, caplog: pytest.LogCaptureFixture
) -> None:
    logind.add("RebootWithFlags", "t")
    let_go = logind.block()
    restarting(logind, passing)()
    let_go()
    assert passing.now == 100
    assert logind.asked()[-1] == ("RebootWithFlags", [16])
    assert "backup: runs" in caplog.text


def test_an_older_logind_knows_no_flags(logind: Logind, passing: Time) -> None:
    let_go = logind.block()
    restarting(logind, passing)()
    let_go()
    assert logind.asked()[-1] == ("Reboot", [False])


@pytest.mark.parametrize(("what", "mode"), [("sleep:idle", "block"), ("shutdown", "delay")])
def test_what_only_delays_or_blocks_something_else_is_logind_s_business(
    logind: Logind, passing: Time, what: str, mode: str
) -> None:
    let_go = logind.block(what, mode)
    restarting(logind, passing)()
    let_go()
    assert passing.now == 0


def test_a_refusal_of_logind_is_an_explained_error_that_is_tried_again(logind: Logind, passing: Time) -> None:
    logind.add("Reboot", "b", 'raise dbus.exceptions.DBusException("no", name="org.example.No")')
    with pytest.raises(EnvironmentFault, match=r"org\.example\.No") as caught:
        restarting(logind, passing)()
    assert (caught.value.code, caught.value.retryable) == ("reboot.failed", True)


@pytest.mark.req("S07")
def test_without_logind_systemd_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        restart, "SYSTEMCTL", ("sh", "-c", f'printf "%s|" "$@" >{tmp_path}/said', "systemctl", "reboot")
    )
    Restart((), Bus("none"))("0 tryboot")
    assert (tmp_path / "said").read_text() == "reboot|0 tryboot|"
    with private_bus(tmp_path) as address:
        Restart((), Bus(address))()
    assert (tmp_path / "said").read_text() == "reboot|"


def test_a_command_that_is_configured_is_run_instead(tmp_path: Path) -> None:
    told: list[int] = []
    Restart(("touch", str(tmp_path / "done")), Bus("none"), announce=told.append)()
    assert (tmp_path / "done").exists()
    assert told == [0]


@pytest.mark.parametrize("command", [("/no/such/command",), ("false",), ("sh", "-c", "kill -9 $$")])
def test_a_restart_command_that_fails_is_an_explained_error(command: tuple[str, ...]) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        by_command(command)
    assert (caught.value.code, caught.value.retryable) == ("reboot.failed", True)


def test_a_restart_command_is_run(tmp_path: Path) -> None:
    by_command(("touch", str(tmp_path / "done")))
    assert (tmp_path / "done").exists()


def test_an_argument_for_the_bootloader_is_the_last_word_of_the_restart_command(tmp_path: Path) -> None:
    command = ("sh", "-c", f'printf "%s|" "$@" >{tmp_path}/said', "reboot", "--force")
    by_command(command, "0 tryboot")
    assert (tmp_path / "said").read_text() == "--force|0 tryboot|"
    by_command(command)
    assert (tmp_path / "said").read_text() == "--force|"
