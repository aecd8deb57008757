"""Cuts the power before any durable step of the boot environments, which run in the process of the test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bootloader_env import program


class PowerCut(BaseException):
    """Everything is gone but what is on the medium."""


class Steps:
    """Counts durable steps, and cuts the power before one of them."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.taken = 0

    def hit(self) -> None:
        """One step is about to be done."""
        if self.left is None:
            return
        if self.left == 0:
            raise PowerCut  # and nothing more is written until the power is back
        self.left -= 1
        self.taken += 1

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Makes every durable step of the boot environments, which run in this process, count."""
        patched = pytest.MonkeyPatch()
        for name in ("write", "pwrite", "rename", "unlink", "ftruncate"):
            patched.setattr(os, name, self._counted(getattr(os, name)))
        real = program.run

        def run(argv: list[str], *, timeout: float) -> str:
            if "-s" in argv or any(word.startswith("set-") for word in argv):
                self.hit()
            return real(argv, timeout=timeout)

        patched.setattr(program, "run", run)
        try:
            yield
        finally:
            patched.undo()

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            self.hit()
            return real(*args, **named)

        return call
