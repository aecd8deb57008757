"""What is asked over D-Bus, passed on to who decides it, once the arguments make sense."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from agent.audit.port import Auditor
from agent.bus.serve import Answer, Call, Later
from agent.daemon.dbus_names import MAX_TEXT
from agent.errors import EnvironmentFault, PolicyError

_MAX_RECORDS = 1000
_PIECE = 64 * 1024  # bytes


class Commands(Protocol):
    """What people can ask of the daemon. Each returns at once, or raises OtaError to refuse."""

    def check(self) -> None:
        """Asks the server now."""
        ...

    def install(self, path: str, options: Mapping[str, object] | None = None) -> None:
        """Installs the bundle at an absolute path."""
        ...

    def install_file(self, fd: int, name: str, options: Mapping[str, object]) -> None:
        """Installs the bundle in an open file, which stays the caller's."""
        ...

    def cancel(self) -> None:
        """Gives up the update under way."""
        ...

    def scrub(self, slot: str) -> None:
        """Reads slots back; empty: all that do not run."""
        ...

    def mark(self, state: str, slot: str) -> Callable[[], None]:
        """Tells the bootloader about a slot; what is returned waits until that was done."""
        ...


class Consents(Protocol):
    """What people say to an update, and how they want updates to be. Each returns at once, or raises OtaError to refuse.

    ``by`` is who says it, for the record.
    """

    def approve(self, action: str, by: str) -> None:
        """Lets an action begin that waits for consent; empty: whichever it is."""
        ...

    def deny(self, action: str, reason: str, by: str) -> None:
        """Does not let it begin."""
        ...

    def postpone(self, seconds: int, by: str) -> None:
        """Leaves it for later."""
        ...

    def install_now(self, by: str) -> None:
        """Does not wait for the window or the end of a postponement."""
        ...

    def summary(self, language: str) -> str:
        """What it is for."""
        ...

    def user_action(self, language: str) -> str:
        """What the user should do until it is installed."""
        ...

    def set_policy(self, name: str, value: object, sender: str, by: str) -> None:
        """Sets a property of the policy."""
        ...

    def reset_policy(self, sender: str, by: str) -> None:
        """Takes back what was set."""
        ...

    def properties(self) -> dict[str, object]:
        """The properties of the update and of the policy, as they are now."""
        ...


class Records(Auditor, Protocol):
    """The audit log; what reads it takes time."""

    @property
    def head(self) -> bytes:
        """The hash of the newest record."""
        ...

    @property
    def count(self) -> int:
        """The number of the newest record."""
        ...

    def verify(self) -> tuple[bool, int]:
        """Whether the chain holds, and if not, the first record that is wrong."""
        ...

    def tail(self, count: int) -> list[str]:
        """The newest records as JSON."""
        ...

    def export(self) -> Iterator[bytes]:
        """The whole log."""
        ...


class Requests:
    """Carries out the calls of ``org.otaagent.Agent1``.

    Args:
        commands: see there.
        consents: see there.
        records: see there; commands are recorded in it, while what was said to updates is recorded where it is decided.
        properties: every property, by interface and name.
    """

    def __init__(
        self,
        commands: Commands,
        consents: Consents,
        records: Records,
        properties: Callable[[], Mapping[str, Mapping[str, object]]],
    ) -> None:
        self._commands = commands
        self._consents = consents
        self._records = records
        self._properties = properties

    def call(self, call: Call) -> Answer:
        """See ``agent.bus.serve.Handler``; raises OtaError to refuse."""
        for value in call.values:
            if isinstance(value, str) and len(value) > MAX_TEXT:
                raise PolicyError(
                    "dbus.argument", "an argument is too long", details=f"{len(value)} characters",
                    resolution=f"at most {MAX_TEXT} are taken",
                )  # fmt: skip
        if call.interface == "Manager":
            answer = self._manager(call)
            self._records.note("command", f"{call.interface}.{call.method}", caller=f"user {call.user}")
            return answer
        return {"Update": self._update, "Policy": self._policy, "Audit": self._audit}[call.interface](call)

    def _manager(self, call: Call) -> Answer:
        commands = self._commands
        match call.method, call.values:
            case "Check", ():
                commands.check()
            case "Install", (path,):
                commands.install(_absolute(path))
            case "InstallPath", (path, options):
                commands.install(_absolute(path), options)
            case "InstallFile", (fd, options):
                name = options.pop("name") if isinstance(options.get("name"), str) else ""
                commands.install_file(fd, name, options)
            case "Cancel", ():
                commands.cancel()
            case "Scrub", (slot,):
                commands.scrub(slot)
            case "Mark", (state, slot):
                done = commands.mark(state, slot)
                return Later(lambda: (done(), ())[1])
            case "Export", (fd, kind):
                document = self._document(kind)
                return Later(lambda: _write(_writable(fd), document()))
            case _:
                raise ValueError(f"nobody serves {call.method}")
        return None

    def _update(self, call: Call) -> Answer:
        consents, by = self._consents, f"user {call.user}"
        match call.method, call.values:
            case "Summary", (language,):
                return (consents.summary(language),)
            case "UserAction", (language,):
                return (consents.user_action(language),)
            case "Approve", (action,):
                consents.approve(action, by)
            case "Deny", (action, reason):
                consents.deny(action, reason, by)
            case "Postpone", (seconds,):
                consents.postpone(seconds, by)
            case "InstallNow", ():
                consents.install_now(by)
            case _:
                raise ValueError(f"nobody serves {call.method}")
        return None

    def _policy(self, call: Call) -> Answer:
        match call.method, call.values:
            case "Set", (name, value):
                self._consents.set_policy(name, value, call.sender, f"user {call.user}")
            case "Reset", ():
                self._consents.reset_policy(call.sender, f"user {call.user}")
            case _:
                raise ValueError(f"nobody serves {call.method}")
        return None

    def _audit(self, call: Call) -> Answer:
        records = self._records
        match call.method, call.values:
            case "Verify", ():
                return Later(records.verify)
            case "Tail", (count,):
                return Later(lambda: (records.tail(min(count, _MAX_RECORDS)),))
            case _:
                raise ValueError(f"nobody serves {call.method}")

    def _document(self, kind: str) -> Callable[[], Iterable[bytes]]:
        if kind == "audit":
            return self._records.export
        if kind == "status":
            text = json.dumps(self._properties(), default=_plain, indent=1)
            return lambda: [f"{text}\n".encode()]
        raise PolicyError(
            "export.kind", "there is no such document", details=kind[:80], resolution="use audit or status"
        )


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise PolicyError("install.path", "the path of the bundle must be absolute", details=path[:200])
    return path


def _writable(fd: int) -> int:
    """Refuses what could make us wait for ever, and what the caller has not opened for writing itself."""
    try:
        suitable, why = stat.S_ISREG(os.fstat(fd).st_mode) and _mode(fd) == os.O_WRONLY, ""
    except OSError as error:  # FUSE shows root nothing of the mounts of others
        suitable, why = False, str(error)
    if not suitable:
        raise PolicyError(
            "export.descriptor", "the descriptor is none of a file opened for writing", details=why,
            resolution="open a file with O_WRONLY; pipes and devices are not taken",
        )  # fmt: skip
    return fd


def _mode(fd: int) -> int:
    """How a descriptor was opened; O_PATH, which permits neither, counts as no mode at all."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    return -1 if flags & os.O_PATH else flags & os.O_ACCMODE


def _write(fd: int, pieces: Iterable[bytes]) -> tuple[object, ...]:
    try:
        for piece in pieces:
            left = memoryview(piece)
            while left:
                left = left[os.write(fd, left[:_PIECE]) :]
        os.fsync(fd)
    except OSError as error:
        raise EnvironmentFault(
            "export.failed", "the document could not be written", details=str(error), resolution="is there room for it?"
        ) from error
    return ()


def _plain(value: Any) -> object:  # noqa: ANN401 - whatever JSON does not know
    return list(value) if isinstance(value, bytes | bytearray) else str(value)
