"""The demo for the eyes: plain text that a person reads along with. No curses, nothing but the standard library."""

from __future__ import annotations

import os
import shutil
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from agent.demo.news import Event

_WIDEST, _NARROWEST = 110, 50
_COLOURS: Mapping[str, str] = {
    "good": "32", "bad": "31", "dim": "2", "bold": "1",
    "operator": "35", "device": "36", "board": "33", "server": "34", "network": "31",
}  # fmt: skip
_SHORTEST_BAR = 8
_STEP = 25  # per cent between two lines of progress where nothing can be redrawn
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Result:
    """How an act ended: what should be, what was, and whether that is the same; ``details`` are for whoever must find out."""

    act: int
    title: str
    expected: str
    seen: str
    ok: bool
    seconds: float
    details: str = ""


class Screen:
    """Writes to a terminal, or to a file or pipe without its tricks.

    Args:
        stream: where to.
        environ: ``NO_COLOR`` (no-color.org) and ``TERM`` are respected.
    """

    def __init__(self, stream: TextIO, environ: Mapping[str, str] = os.environ) -> None:
        self._stream = stream
        self._live = stream.isatty() and environ.get("TERM") != "dumb"
        self._colours = self._live and not environ.get("NO_COLOR")
        self._plain = not (stream.encoding or "").lower().startswith("utf")
        columns = shutil.get_terminal_size((100, 24)).columns if self._live else 100
        self._width = max(_NARROWEST, min(columns, _WIDEST))
        self._began = time.monotonic()
        self._drawn = False
        self._step = 0

    def title(self, text: str, *lines: str) -> None:
        """The first thing to be seen."""
        self._line(self._paint(text, "bold"))
        for line in lines:
            self._wrapped(line)

    def act(self, number: int, title: str, why: str) -> None:
        """Announces an act: what is about to happen, and why it matters."""
        self._began = time.monotonic()
        self._step = 0
        self._line("")
        self._line(self._paint(f"Act {number}  {title}", "bold"))
        self._wrapped(why)

    def event(self, event: Event) -> None:
        """One thing that happened."""
        self._clear()
        stamp = f"{max(0.0, event.time - self._began):6.1f} s  "
        indent = " " * (len(stamp) + 10)
        lines = textwrap.wrap(self._text(event.text), self._width - len(indent)) or [""]
        tone = event.tone if event.tone in ("good", "bad") else ""
        head = self._paint(stamp, "dim") + self._paint(f"{event.source:<10}", event.source)
        self._line(head + self._paint(lines[0], tone))
        for line in lines[1:]:
            self._line(indent + self._paint(line, tone))

    def progress(self, done: int, total: int) -> None:
        """How much of an image is in its slot; redrawn in place, or one line for each quarter."""
        percent = 100 * done // max(total, 1)
        amount = f"{percent:3d} %  {done / _MIB:.1f} of {total / _MIB:.1f} MiB written"
        if self._live:
            room = self._width - 23 - len(amount)
            full = max(0, room) * percent // 100
            bar = ("#" * full).ljust(room, ".") if self._plain else ("█" * full).ljust(room, "░")
            self._stream.write(f"\r{'':20}{bar}  {amount}" if room >= _SHORTEST_BAR else f"\r  {amount}")
            self._stream.flush()
            self._drawn = True
            return
        step = percent // _STEP * _STEP
        if step < self._step:  # another image
            self._step = 0
        if step > self._step:
            self._step = step
            self._line(f"{'':20}{amount}")

    def verdict(self, result: Result) -> None:
        """How the act ended."""
        mark = ("ok" if result.ok else "NOT AS TOLD") if self._plain else ("✓" if result.ok else "✗ not as told:")
        self._line("")
        indent = " " * (len(mark) + 3)
        lines = textwrap.wrap(self._text(result.seen), self._width - len(indent)) or [""]
        self._line(self._paint(f"  {mark} {lines[0]}", "good" if result.ok else "bad"))
        for line in lines[1:]:
            self._line(self._paint(indent + line, "good" if result.ok else "bad"))
        for line in result.details.splitlines():
            self._line(self._paint(f"    | {self._text(line)}", "dim"))

    def table(self, results: Sequence[Result]) -> None:
        """All acts: what was to happen, what did."""
        rest = self._width - 4 - 9 - 4 - 4
        widths = (3, rest // 2, rest - rest // 2, 7, 3)
        self._line("")
        self._row(("act", "expected", "seen", "time", "ok"), widths, "bold")
        self._row(["-" * width for width in widths], widths, "dim")
        for result in results:
            tone = "" if result.ok else "bad"
            cells = (
                str(result.act), result.expected, result.seen, f"{result.seconds:.1f} s", "yes" if result.ok else "NO",
            )  # fmt: skip
            self._row(cells, widths, tone)

    def gap(self) -> None:
        """An empty line."""
        self._line("")

    def say(self, text: str, tone: str = "") -> None:
        """A paragraph."""
        self._wrapped(text, tone)

    def command(self, text: str) -> None:
        """Something to type, never wrapped."""
        self._line(f"    {text}")

    def _row(self, cells: Sequence[str], widths: Sequence[int], tone: str) -> None:
        columns = [textwrap.wrap(self._text(cell), width) or [""] for cell, width in zip(cells, widths, strict=True)]
        for index in range(max(map(len, columns))):
            parts = [
                (column[index] if index < len(column) else "").ljust(width)
                for column, width in zip(columns, widths, strict=True)
            ]
            self._line(self._paint(" ".join(parts).rstrip(), tone))

    def _wrapped(self, text: str, tone: str = "") -> None:
        for line in textwrap.wrap(self._text(text), self._width - 2):
            self._line("  " + self._paint(line, tone))

    def _text(self, text: str) -> str:
        """Printable for this stream; what a server or a script said could hold anything."""
        clean = "".join(char if char.isprintable() else " " for char in text)
        return clean.encode("ascii", "replace").decode("ascii") if self._plain else clean

    def _paint(self, text: str, tone: str) -> str:
        code = _COLOURS.get(tone)
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours and code and text else text

    def _clear(self) -> None:
        if self._drawn:
            self._stream.write("\r" + " " * (self._width - 1) + "\r")
            self._drawn = False

    def _line(self, text: str) -> None:
        self._clear()
        self._stream.write(text + "\n")
        self._stream.flush()
