"""Behind a D-Bus service in tests: notes what was asked, and can be told to refuse it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping


class Asked:
    """Everything that ``agent.daemon.requests`` passes calls on to, but for the audit log.

    Attributes:
        asked: what was asked, in order: the name of the method and its arguments.
        refuse: what is raised instead.
        heard: told each, too.
    """

    def __init__(self, heard: Callable[[str], None] = lambda _: None) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.refuse: Exception | None = None
        self.heard = heard

    def _note(self, *what: object) -> None:
        if self.refuse:
            raise self.refuse
        self.asked.append(what)
        self.heard(" ".join(map(str, what)))

    def check(self) -> None:
        self._note("check")

    def install(self, path: str, options: Mapping[str, object] | None = None) -> None:
        self._note("install", path, *([dict(options)] if options else []))

    def install_file(self, fd: int, name: str, options: Mapping[str, object]) -> None:
        self._note("install_file", os.pread(fd, 100, 0).decode(), name, dict(options))

    def cancel(self) -> None:
        self._note("cancel")

    def scrub(self, slot: str) -> None:
        self._note("scrub", slot)

    def mark(self, state: str, slot: str) -> Callable[[], None]:
        return lambda: self._note("mark", state, slot)

    def approve(self, action: str, by: str) -> None:
        self._note("approve", action)

    def deny(self, action: str, reason: str, by: str) -> None:
        self._note("deny", action, reason)

    def postpone(self, seconds: int, by: str) -> None:
        self._note("postpone", seconds)

    def install_now(self, by: str) -> None:
        self._note("install_now")

    def summary(self, language: str) -> str:
        return f"summary in {language}"

    def user_action(self, language: str) -> str:
        return f"action in {language}"

    def set_policy(self, name: str, value: object, sender: str, by: str) -> None:
        self._note("set", name, value)

    def reset_policy(self, sender: str, by: str) -> None:
        self._note("reset")

    def properties(self) -> dict[str, object]:
        return {"Profile": "consumer", "Policy.Approval": "auto"}
