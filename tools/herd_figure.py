"""The figure of docs/polling.md: what a server sees of the fleets of ``tools.herd``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tools.herd import BUCKET, DEVICES, INTERVAL, MINUTE, SCENARIOS, Arrivals, Scenario, uniform

_Scale = Callable[[float], float]
_WIDTH, _LEFT, _RIGHT = 860, 56, 24
_TOP, _HEIGHT, _STEP = 92, 110, 200  # of the first panel, of a panel, from one to the next
_HIGHEST = 60.0  # requests/s at the upper edge
_INK, _SOFT, _GRID, _PAPER = "#1f2933", "#616e7c", "#e4e7eb", "#ffffff"
_ANSWERED, _REFUSED, _EVEN = "#2a6fbb", "#c9a227", "#c2410c"


def figure(found: Mapping[str, Arrivals]) -> str:
    """The SVG; ``found`` by the names of the scenarios."""
    height = _TOP + _STEP * len(SCENARIOS) - 22
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="system-ui, \'DejaVu Sans\', Arial, sans-serif" font-size="12">',
        "<title>Arrivals of polls at a server, simulated with the schedule of the agent</title>",
        f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="{_PAPER}"/>',
        _text(
            24,
            30,
            f"{DEVICES:,} devices, one poll every {INTERVAL / MINUTE:.0f} minutes: polls per second",
            size=16,
            bold=True,
        ),
        *_legend(),
    ]
    for index, scenario in enumerate(SCENARIOS):
        parts += _panel(_TOP + _STEP * index + 26, scenario, found[scenario.name])
    return "\n".join([*parts, "</svg>\n"])


def _legend() -> list[str]:
    parts = []
    at = 24
    for colour, words in (
        (_ANSWERED, "polls that are answered"),
        (_REFUSED, "polls that fail"),
    ):
        parts += [f'<rect x="{at}" y="45" width="12" height="12" fill="{colour}"/>', _text(at + 18, 56, words)]
        at += 170
    parts.append(f'<path d="M{at} 51h22" stroke="{_EVEN}" stroke-width="1.5" stroke-dasharray="5 3"/>')
    parts.append(_text(at + 28, 56, f"spread perfectly: {uniform():.1f} per second"))
    return parts


def _panel(top: int, scenario: Scenario, found: Arrivals) -> list[str]:
    bottom = top + _HEIGHT
    right = _WIDTH - _RIGHT
    scale = (right - _LEFT) / (scenario.end - scenario.shown)

    def x(moment: float) -> float:
        return _LEFT + (moment - scenario.shown) * scale

    def y(rate: float) -> float:
        return bottom - min(rate, _HIGHEST) / _HIGHEST * _HEIGHT

    parts = [_text(_LEFT, top - 12, scenario.title, size=14, bold=True)]
    parts.append(_text(right, top - 12, scenario.text, colour=_SOFT, anchor="end"))
    for rate in range(0, int(_HIGHEST) + 1, 20):
        parts.append(f'<path d="M{_LEFT} {y(rate):.1f}H{right}" stroke="{_GRID}"/>')
        parts.append(_text(_LEFT - 8, y(rate) + 4, str(rate), colour=_SOFT, anchor="end"))
    step = 10 if scenario.end - scenario.shown > 75 * MINUTE else 5
    for minute in range(int(scenario.shown / MINUTE), int(scenario.end / MINUTE) + 1, step):
        at = x(minute * MINUTE)
        parts.append(f'<path d="M{at:.1f} {bottom}v4" stroke="{_SOFT}"/>')
        label = f"{minute} min" if minute == scenario.end / MINUTE else str(minute)
        parts.append(_text(at, bottom + 17, label, colour=_SOFT, anchor="end" if "min" in label else "middle"))
    if scenario.shown < 0:
        parts.append(_area(found.rates(scenario.shown, 0), scenario.shown, x, y, bottom, _REFUSED))
    parts.append(
        _area(found.rates(max(0, scenario.shown), scenario.end), max(0.0, scenario.shown), x, y, bottom, _ANSWERED)
    )
    parts.append(
        f'<path d="M{_LEFT} {y(uniform()):.1f}H{right}" stroke="{_EVEN}" stroke-width="1.5" stroke-dasharray="5 3"/>'
    )
    if scenario.shown < 0:
        parts.append(f'<path d="M{x(0):.1f} {top}V{bottom}" stroke="{_INK}" stroke-width="1.2"/>')
    return parts


def _area(rates: list[float], begin: float, x: _Scale, y: _Scale, bottom: float, colour: str) -> str:
    steps = [f"M{x(begin):.1f} {bottom}"]
    for index, rate in enumerate(rates):
        steps.append(f"V{y(rate):.1f}H{x(begin + (index + 1) * BUCKET):.1f}")
    return f'<path d="{"".join(steps)}V{bottom}Z" fill="{colour}"/>'


def _text(
    x: float, y: float, words: str, *, size: int = 12, bold: bool = False, colour: str = _INK, anchor: str = "start"
) -> str:
    weight = ' font-weight="600"' if bold else ""
    where = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{colour}"{weight}{where}>{words}</text>'
