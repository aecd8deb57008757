"""What the demo shows, on a terminal and elsewhere."""

from __future__ import annotations

import io
import re

import pytest

from agent.demo.news import Event
from agent.demo.screen import Result, Screen

MIB = 1024 * 1024


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Pipe(io.StringIO):
    encoding = "utf-8"


def show(stream: io.StringIO, environ: dict[str, str]) -> str:
    screen = Screen(stream, environ)
    screen.title("title", "a line")
    screen.act(1, "An act", "because it matters " * 12)
    screen.event(Event(0.0, "server", "hears " + "words " * 40, "bad"))
    for percent in range(101):
        screen.progress(percent * MIB, 100 * MIB)
    result = Result(1, "An act", "expected " * 9, "seen " * 30, ok=True, seconds=1.25)
    screen.verdict(result)
    screen.table([result, Result(2, "Another", "x", "y", ok=False, seconds=0.0)])
    return stream.getvalue()


def test_a_pipe_gets_plain_text_and_four_lines_of_progress() -> None:
    text = show(Pipe(), {"TERM": "xterm"})

    assert "\x1b" not in text
    assert "\r" not in text
    assert re.findall(r"(\d+) %", text) == ["25", "50", "75", "100"]


def test_a_terminal_gets_colours_and_a_bar_that_is_redrawn() -> None:
    text = show(Terminal(), {"TERM": "xterm"})

    assert "\x1b[" in text
    assert text.count("\r") >= 101
    assert "█" in text


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1", "TERM": "xterm"}, {"TERM": "dumb"}])
def test_colours_can_be_refused(environ: dict[str, str]) -> None:
    assert "\x1b" not in show(Terminal(), environ)


def test_no_line_is_wider_than_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in (50, 80, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        text = show(Terminal(), {"NO_COLOR": "1", "TERM": "xterm"})
        lines = [part for line in text.split("\n") for part in line.split("\r")]
        assert max(map(len, lines)) <= min(columns, 110)


def test_a_stream_without_utf8_gets_ascii_only() -> None:
    stream = Pipe()
    stream.encoding = "ascii"  # type: ignore[misc]  # as with LC_ALL=C

    assert show(stream, {}).isascii()


def test_control_characters_from_outside_do_not_reach_the_terminal() -> None:
    stream = Terminal()
    screen = Screen(stream, {"NO_COLOR": "1"})

    screen.event(Event(0.0, "server", "evil \x1b[2J\x07 text"))
    screen.verdict(Result(1, "t", "e", "\x1b]0;title\x07", ok=False, seconds=0.0, details="a\x1bb"))

    assert "\x1b" not in stream.getvalue()
    assert "\x07" not in stream.getvalue()
