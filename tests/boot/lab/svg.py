"""Drawings for reports: bands, bars and marks over one axis of seconds; and how their pages look. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 1040  # of the whole drawing, in pixels
_LEFT, _RIGHT = 110, 12  # for what stands before the rows
COLOURS = {
    "A": "#8fb3d9", "B": "#f2b26b", "R": "#b9a3d6",
    "bootloader": "#5b6b7a", "system": "#b8c4ce", "idle": "#dfe6ea", "offered": "#c9dcc2", "inspecting": "#9fcf9a",
    "staging": "#5aa469", "staged": "#7bbf8a", "waiting": "#cfe8cf", "activating": "#e0574f", "trial": "#f0a35e",
    "rebooting": "#b5544d", "confirming": "#d9730d", "reporting": "#a987c7", "reverting": "#8c5a8c",
    "everything": "#4c78a8", "nothing": "#9d9d9d", "torn": "#e45756", "some": "#72b7b2",
    "good": "#2e8b57", "judged": "#4c78a8", "failed": "#d08a1d", "broken": "#c4122f",
}  # fmt: skip
_OTHER = "#cccccc"
STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1080px; color: #1d2329; background: #fff; }
h1 { font-size: 1.6em; } h2 { margin-top: 2em; border-bottom: 1px solid #d0d7de; }
table { border-collapse: collapse; margin: .8em 0; }
td, th { padding: .2em .9em .2em 0; text-align: left; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
svg text { font: 10px system-ui, sans-serif; fill: #30363d; } svg .label { font-size: 11px; font-weight: 600; }
svg circle { fill-opacity: .75; }
svg .axis { stroke: #8b949e; } .bad { color: #c4122f; font-weight: 600; } .ok { color: #2e8b57; font-weight: 600; }
.key span { display: inline-block; margin-right: 1em; }
.key i { display: inline-block; width: .8em; height: .8em; margin-right: .3em; }
code { font-size: .92em; } details { margin: .6em 0; } .situation { font: 12px ui-monospace, monospace; }
"""


def key(names: Mapping[str, str]) -> str:
    """What colours mean, as an element; by their names."""
    parts = (f'<span><i style="background:{COLOURS[name]}"></i>{escape(text)}</span>' for name, text in names.items())
    return f'<div class="key">{"".join(parts)}</div>'


class Drawing:
    """Rows over one axis.

    Args:
        length: seconds that the axis is long.
    """

    def __init__(self, length: float) -> None:
        self._length, self._y, self._parts = max(length, 1e-9), 4.0, list[str]()

    def x(self, seconds: float) -> float:
        """Where a moment is, in pixels."""
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * min(max(seconds / self._length, 0.0), 1.0)

    def band(self, label: str, track: Sequence[tuple[float, str]], end: float, height: float = 16) -> None:
        """A row of boxes: each from its moment to the next one."""
        self._label(label, height)
        for number, (start, what) in enumerate(track):
            stop = track[number + 1][0] if number + 1 < len(track) else end
            left, width = self.x(start), max(self.x(stop) - self.x(start) - 0.7, 0.8)
            title = f"{what}: {start:.1f} to {stop:.1f} s"
            self._box(left, self._y, width, height, COLOURS.get(what, _OTHER), title)
            if width > 7 * len(what):
                self._text(left + 3, self._y + height - 4, what)
        self._y += height + 4

    def bars(self, label: str, counts: Sequence[tuple[float, int]], step: float, height: float = 90) -> None:
        """A histogram; the number at its side is that of the highest bar."""
        self._label(label, height)
        most = max((count for _, count in counts), default=1)
        self._text(_LEFT - 6, self._y + 26, f"up to {most}", end=True)
        for at, count in counts:
            tall = height * count / most
            width = max(self.x(at + step) - self.x(at) - 0.5, 0.5)
            self._box(self.x(at), self._y + height - tall, width, tall, COLOURS["everything"], f"{at:.0f} s: {count}")
        self._y += height + 4

    def marks(self, label: str, moments: Sequence[tuple[float, str, str]], height: float = 14) -> None:
        """A row of strokes: moment, colour by name, and what is shown when the mouse is over it."""
        self._label(label, height)
        for at, colour, title in moments:
            self._box(self.x(at) - 0.8, self._y, 1.6, height, COLOURS.get(colour, _OTHER), title)
        self._y += height + 4

    def dots(self, label: str, moments: Sequence[tuple[float, str, str]], height: float = 60) -> None:
        """A cloud of points; how high each stands means nothing."""
        self._label(label, height)
        for number, (at, colour, title) in enumerate(moments):
            y = self._y + 4 + (number * 37 % 97) / 97 * (height - 8)
            self._parts.append(
                f'<circle cx="{self.x(at):.1f}" cy="{y:.1f}" r="3" fill="{COLOURS.get(colour, _OTHER)}">'
                f"<title>{escape(title)}</title></circle>"
            )
        self._y += height + 4

    def axis(self) -> None:
        """The scale, as the last row."""
        step = next((each for each in (1, 2, 5, 10, 20, 50, 100, 200, 500) if self._length / each <= 14), 1000)
        for number in range(int(self._length // step) + 1):
            at = self.x(number * step)
            self._parts.append(f'<line x1="{at:.1f}" y1="{self._y}" x2="{at:.1f}" y2="{self._y + 4}" class="axis"/>')
            self._text(at, self._y + 15, str(number * step), middle=True)
        self._text(WIDTH - _RIGHT, self._y + 27, "seconds", end=True)
        self._y += 30

    def render(self) -> str:
        """The element."""
        body = "".join(self._parts)
        size = f'width="{WIDTH}" height="{self._y:.0f}" viewBox="0 0 {WIDTH} {self._y:.0f}"'
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">{body}</svg>'

    def _label(self, text: str, height: float) -> None:
        self._parts.append(f'<text x="0" y="{self._y + min(height, 16) - 4:.1f}" class="label">{escape(text)}</text>')

    def _text(self, x: float, y: float, text: str, *, end: bool = False, middle: bool = False) -> None:
        anchor = "end" if end else "middle" if middle else "start"
        self._parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>')

    def _box(self, x: float, y: float, width: float, height: float, colour: str, title: str) -> None:
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}">'
            f"<title>{escape(title)}</title></rect>"
        )
