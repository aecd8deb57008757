"""The daemon's side of its children: real processes that die, fall silent, or lie."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.pretend import Disk, Environment, context

from agent.config import BundleSettings, EncryptionSettings, KeyringSettings
from agent.daemon import children
from agent.daemon.activities import stage, work
from agent.daemon.children import Child
from agent.daemon.inbox import Inbox, Stopped
from agent.daemon.installers import Installers
from agent.daemon.network import Network, Session
from agent.daemon.record import Record
from agent.errors import EnvironmentFault, OtaError, PolicyError
from agent.wire import Channel, Frame, pair

SESSION = Session("https://127.0.0.1:1", None, "", "", 0.2, 0.2)


def script(text: str) -> Callable[[str], Child]:
    """Starts a child that does what the text says, with a channel as ``c``."""
    head = "import os, signal, sys, time\nfrom agent.wire import Channel\nc = Channel.from_fd(0)\n"

    def spawn(kind: str) -> Child:
        ours, theirs = pair("daemon", kind)
        process = subprocess.Popen([sys.executable, "-c", head + text], stdin=theirs.fileno())
        theirs.close()
        return Child(kind, process, ours)

    return spawn


def conversation(spawn: Callable[[str], Child], inbox: Inbox | None = None) -> AbstractContextManager[Any]:
    return Network(spawn, lambda: SESSION, (inbox or Inbox()).await_one).conversation()


def open_fds() -> int:
    gc.collect()  # tracebacks of earlier tests hold sockets
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    ("text", "how"),
    [("sys.exit(3)", "exit status 3"), ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV")],
)
def test_a_child_that_dies_says_how(text: str, how: str) -> None:
    with script(text)("installer") as child, pytest.raises(EnvironmentFault) as caught:
        child.receive(10)
    assert (caught.value.code, caught.value.details, caught.value.retryable) == ("child.died", how, True)


def test_a_child_that_does_not_listen_is_killed_and_nothing_is_left_open() -> None:
    before = open_fds()
    child = script("signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)")("fetcher")
    began = time.monotonic()
    child.close()
    assert time.monotonic() - began < 5
    assert open_fds() == before
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_a_child_that_the_kernel_does_not_let_go_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """As one that reads from a medium that hangs: SIGKILL has to wait for the driver."""
    waits: list[float] = []

    def wait(seconds: float) -> int:
        waits.append(seconds)
        raise subprocess.TimeoutExpired("installer", seconds)

    ours, theirs = pair("daemon", "installer")
    stuck: Any = SimpleNamespace(wait=wait, kill=lambda: None)
    Child("installer", stuck, ours).close()
    theirs.close()
    assert 0 < sum(waits) < 60
    assert "does not end" in caplog.text


def test_a_child_inherits_its_socket_and_nothing_else(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD_OF_SOMEBODY", "x")
    secret = os.open(tmp_path / "secret", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(secret, True)
    started: list[tuple[str, int]] = []
    with children.spawn("installer", started=lambda *told: started.append(told)) as child:
        time.sleep(0.2)
        environment = Path(f"/proc/{child.pid}/environ").read_text()
        descriptors = [os.readlink(f"/proc/{child.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{child.pid}/fd")]
    os.close(secret)
    assert started == [("installer", child.pid)]
    assert "LD_PRELOAD_OF_SOMEBODY" not in environment
    assert not any(path.endswith("secret") for path in descriptors)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("c.recv(); c.send({'op': 'error', 'error': {'code': 'net.privileges', 'brief': 'no'}})", "net.privileges"),
        ("c.recv(); c.send({'op': 'response'})", "ipc.protocol"),
        ("c.recv(); os.write(0, b'\\xff' * 8)", "ipc.protocol"),
        ("c.recv(); os.write(0, b'\\x00')", "ipc.peer-gone"),
        ("pass", "child.died"),
    ],
)
def test_whatever_a_fetcher_answers_is_an_explained_error(text: str, code: str) -> None:
    with pytest.raises(OtaError) as caught, conversation(script(text)):
        pass
    assert caught.value.code in (code, "child.died" if code == "ipc.peer-gone" else code)


def test_a_stop_does_not_wait_for_a_server_that_does_not_answer() -> None:
    inbox, before = Inbox(), open_fds()
    timer = threading.Timer(0.3, inbox.stop)
    timer.start()
    began = time.monotonic()
    with pytest.raises(Stopped), conversation(script("time.sleep(60)"), inbox):
        pass
    timer.join()
    assert time.monotonic() - began < 5
    assert open_fds() == before


def test_an_installer_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(work, "_SILENCE", 0.2)
    monkeypatch.setattr(work, "_TICK", 0.05)
    bundle = tmp_path / "update.raucb"
    bundle.write_bytes(b"x")
    here = replace(_context(), installers=Installers(script("time.sleep(60)")), inbox=Inbox())
    with pytest.raises(EnvironmentFault) as caught:
        work.work(here, Record(origin="local", url=str(bundle)), {"op": "inspect"}, lambda _: None)
    assert (caught.value.code, caught.value.retryable) == ("child.silent", True)


SLOW = """
c.recv(); c.send({'op': 'ok'})
fd = c.recv().fds[0]
for second in range(20):
    c.send({'op': 'spent', 'bytes': second, 'retries': 0}); time.sleep(0.1)
c.send({'op': 'served', 'bytes': 20, 'retries': 0}); os.close(fd); c.recv()
"""


@pytest.mark.parametrize("read_timeout", [0.0, 100.0], ids=["which is reported", "as long as one answer may take"])
def test_an_installer_that_waits_for_a_slow_server_is_not_given_up(
    monkeypatch: pytest.MonkeyPatch, read_timeout: float
) -> None:
    monkeypatch.setattr(work, "_SILENCE", 1.0)
    monkeypatch.setattr(work, "_TICK", 0.05)
    monkeypatch.setattr(work, "Watch", lambda *_: SimpleNamespace(look=lambda: None))
    installer = "fd = c.recv().fds[0]; os.read(fd, 1); c.send({'op': 'inspected'}); c.recv()"
    fetcher = SLOW if not read_timeout else SLOW.replace("c.send({'op': 'spent'", "({'op': 'spent'")
    here = replace(_context(), installers=Installers(script(installer)), inbox=Inbox())
    here.config.server = SimpleNamespace(connect_timeout=0.0, read_timeout=read_timeout)
    spending = SimpleNamespace(begin=lambda _: 1000, count=lambda *_: None, end=lambda: None)
    network = Network(script(fetcher), lambda: SESSION, here.inbox.await_one)
    server: Any = SimpleNamespace(spending=spending, deliver=lambda _: None, transfer=lambda: network)
    record = Record(origin="server", url="https://h/b", size=20)
    assert work.work(replace(here, server=server), record, {"op": "check"}, lambda _: None).op == "inspected"


def test_the_fetcher_has_the_time_to_say_what_was_wrong_with_an_answer() -> None:
    patience: list[float] = []
    session = replace(SESSION, connect_timeout=20.0, read_timeout=60.0)
    spawn = script("c.recv(); c.send({'op': 'ok'}); c.recv()")
    with Network(spawn, lambda: session, lambda _, seconds: patience.append(seconds)).conversation():
        pass
    assert patience[0] > session.connect_timeout + 2 * session.read_timeout  # agent.fetcher.session gives up then


def _context() -> Any:
    class Real:
        boottime = staticmethod(time.monotonic)
        wall = staticmethod(time.time)

    here = context(Disk(), Environment(), clock=Real(), inbox=Inbox())
    here.config.keyring = KeyringSettings(Path("root.pem"), None, "codesign", False, False, ())
    here.config.bundle = BundleSettings(("verity",), allow_hooks=False, hook_timeout=1)
    here.config.encryption = EncryptionSettings(None, None)
    return here


def test_an_answer_over_the_limits_is_an_explained_error_not_a_dead_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.bundle.manifest import Manifest
    from agent.installer import main as installer

    ours, theirs = pair("daemon", "installer")
    monkeypatch.setattr(installer, "_open", lambda *_: SimpleNamespace(manifest=Manifest("demo"), proof=None))
    monkeypatch.setattr(installer, "_inspected", lambda *_: {"op": "inspected", "meta": "x" * 70_000})
    fd = os.open("/dev/null", os.O_RDONLY)
    installer._answer(theirs, Frame({"op": "inspect"}, b"", (fd,)), "", None)
    answer = ours.recv(5)
    ours.close()
    theirs.close()
    assert isinstance(ours, Channel) and answer is not None
    assert answer.header["error"]["code"] == "ipc.too-large"  # type: ignore[index]  # plain values
    assert answer.header["error"]["retryable"] is False  # type: ignore[index]  # plain values


@pytest.mark.req("S05")
def test_the_installer_is_told_whom_to_believe_and_a_time_that_is_not_before_the_build(tmp_path: Path) -> None:
    bundle, epoch = tmp_path / "update.raucb", tmp_path / "clock-epoch"
    bundle.write_bytes(b"x")
    epoch.touch()
    os.utime(epoch, (1, 4_000_000_000))
    installers = Installers(script("c.send({**c.recv().header, 'op': 'heard'})"))
    here = replace(_context(), installers=installers, inbox=Inbox())
    here.config.system.clock_epoch = epoch
    here.config.keyring = KeyringSettings(None, Path("trusted"), "any", True, True, ("a", "b"))
    heard = work.work(here, Record(origin="local", url=str(bundle)), {"op": "install"}, lambda _: None)
    assert heard.number("when") == 4_000_000_000
    assert heard.header["trust"] == {
        "path": "", "directory": "trusted", "check_purpose": "any", "check_crl": True, "allow_partial_chain": True,
        "allowed_signer_cns": ["a", "b"],
    }  # fmt: skip


def test_what_the_installer_warns_of_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answer = {"op": "inspected", "compatible": "something else", "warnings": ["nobody looks at the CRLs"]}
    monkeypatch.setattr(stage, "work", lambda *_: Frame(answer))
    with pytest.raises(PolicyError):
        stage.inspecting(_context(), Record(origin="local"))
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("WARNING", "bundle: nobody looks at the CRLs")
    ]
