"""One container: it boots, it is asked and told things, and it ends by a reboot, by itself, or by a power cut."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from agent.demo.tools import bound_to_us
from support.nspawn import cgroup, image

_T = TypeVar("_T")
# nspawn(1): with --keep-unit a reboot is left to whoever has started nspawn, and told by this status.
REBOOT, POWER_OFF = 133, 0
_PATIENCE = 120.0  # seconds; a boot takes half a second on an idle machine


class Machine:
    """A container with its own disk, journal and network; each boot begins with the same root.

    Args:
        directory: a new one in ``image.room``.
        base: from ``image.make_base``.
        network: path of a network namespace; empty gives each boot one with nothing in it.
        binds: paths of the host by the path inside, read-only when that begins with ``-``.
    """

    def __init__(
        self, directory: Path, base: Path, *, network: str = "", binds: Mapping[str, Path] | None = None
    ) -> None:
        self.directory, self.base, self.network = directory, base, network
        self.binds = dict(binds or {})
        self.boots = 0
        self.leader = 0  # process id of its process 1
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()
        self._ready = False
        self._notices: socket.socket | None = None
        for name in ("root", "journal"):
            (directory / name).mkdir(parents=True)

    @property
    def powered(self) -> bool:
        """Whether it is on."""
        return self._process is not None

    def start(self, layers: Sequence[Path] = (), files: Mapping[str, str] | None = None, *, wait: bool = True) -> None:
        """Boots.

        Args:
            layers: directories above the base, the first one on top.
            files: in the root of this boot.
            wait: until all that the default target wants has started.
        """
        assert self._process is None, "it is on already"
        self.boots += 1
        boot = self.directory / f"boot-{self.boots}"
        upper = boot / "upper"
        upper.mkdir(parents=True)
        image.write_all(upper, files or {})
        stack = self._stack = ExitStack()
        try:
            stack.callback(shutil.rmtree, boot, ignore_errors=True)
            stack.enter_context(image.overlay(self.directory / "root", upper, boot / "work", (*layers, self.base)))
            groups = stack.enter_context(cgroup.own_groups(f"ota-nspawn-{uuid.uuid4().hex[:12]}"))
            self._notices = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            self._notices.bind(str(boot / "notify"))
            console = stack.enter_context((self.directory / "console").open("ab"))
            self._ready, self.leader = False, 0
            self._process = subprocess.Popen(
                [*bound_to_us(), *self._command()],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
                env={**os.environ, "NOTIFY_SOCKET": str(boot / "notify")},
                preexec_fn=lambda: cgroup.join(groups),  # noqa: PLW1509 - before anything of it runs
            )  # fmt: skip
            self.until(lambda: self.leader and (self._ready or not wait), "it boots", self._listen)
        except BaseException:
            self.cut()
            raise

    def _command(self) -> list[str]:
        binds = {"/var/log/journal": self.directory / "journal", **self.binds}
        return [
            "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "--console=pipe",
            f"--directory={self.directory / 'root'}", "--notify-ready=yes", "--kill-signal=SIGRTMIN+3",
            "--link-journal=no", "--resolv-conf=off", "--timezone=off", "--settings=no",
            f"--network-namespace-path={self.network}" if self.network else "--private-network",
            *image.program_binds(),
            *(f"--bind{'-ro' * where.startswith('-')}={path}:{where.lstrip('-')}" for where, path in binds.items()),
        ]  # fmt: skip

    def _listen(self) -> None:
        assert self._notices is not None and self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"nspawn ended with {self._process.returncode}: {self.console()}")
        self._notices.settimeout(0.1)
        try:
            lines = self._notices.recv(4096).decode().splitlines()
        except TimeoutError:
            return
        for line in lines:
            name, _, value = line.partition("=")
            if name == "X_NSPAWN_LEADER_PID":
                self.leader = int(value)
            self._ready = self._ready or line == "READY=1"

    def ended(self) -> int | None:
        """How it has ended: REBOOT, POWER_OFF or another status of nspawn; None while it runs."""
        if self._process is None or self._process.poll() is None:
            return None
        status = self._process.returncode
        self._clear()
        return status

    def wait_ended(self) -> int:
        """Waits until it has ended; see ``ended``."""
        assert self._process is not None
        self._process.wait(_PATIENCE)
        status = self.ended()
        assert status is not None
        return status

    def cut(self) -> None:
        """The power fails: every process in it is gone at once."""
        if self._process is None:
            return
        if self.leader and self._process.poll() is None:
            os.kill(self.leader, signal.SIGKILL)  # the kernel then ends the others of its namespace
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._clear()

    def _clear(self) -> None:
        self._process, self.leader = None, 0
        self._stack.close()

    def ask(
        self, *command: str, user: str = "", text: str = "", timeout: float = _PATIENCE
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in it as root, or as another user, outside of all its services."""
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        enter = ["nsenter", "--target", str(self.leader), "--all", "--", *become]
        return subprocess.run(
            [*enter, *command], input=text, capture_output=True, text=True, timeout=timeout, check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
        )  # fmt: skip

    def run(self, *command: str, user: str = "") -> str:
        """As ``ask``, and it must succeed; returns what it has written, without the last line break."""
        done = self.ask(*command, user=user)
        assert done.returncode == 0, f"{' '.join(command)}: {done.returncode} {done.stdout} {done.stderr}"
        return done.stdout.rstrip("\n")

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit, as ``systemctl show`` tells them."""
        lines = self.run("systemctl", "show", "--property", ",".join(names), "--", unit).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def pid(self, unit: str = "ota-agent.service") -> int:
        """The main process of a service, as it is numbered inside; 0 without one."""
        return int(self.show(unit, "MainPID")["MainPID"])

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """Entries of all boots, oldest first; it need not be on.

        Args:
            matches: as for journalctl(1), ``FIELD=value`` or options.
        """
        command = ["journalctl", f"--directory={self.directory / 'journal'}", "--output=json", "--all", "--quiet"]
        done = subprocess.run([*command, *matches], capture_output=True, text=True, check=True, timeout=_PATIENCE)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def said(self, *matches: str) -> str:
        """The messages of ``journal``, one a line."""
        return "\n".join(str(entry.get("MESSAGE")) for entry in self.journal(*matches))

    def console(self) -> str:
        """What nspawn said."""
        return (self.directory / "console").read_text("utf-8", "replace")

    def until(self, wanted: Callable[[], _T], what: str, look: Callable[[], object] | None = None) -> _T:
        """Waits for something; returns what ``wanted`` gave.

        Args:
            wanted: gives something true when it has happened.
            what: for the message if it does not.
            look: called each time between; it may wait a little. Without it there is a short pause.
        """
        end = time.monotonic() + _PATIENCE
        while not (found := wanted()):
            if time.monotonic() > end:
                raise AssertionError(f"this did not happen: {what}\n{self.said('--lines=60')}")
            (look or (lambda: time.sleep(0.02)))()
        return found
