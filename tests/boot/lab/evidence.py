"""What a run of the scenarios has shown: which promises were kept, and the life of each device, boot by boot.

Every process of the run leaves a file for each test and each device; at the end they become ``report.json`` and
``report.html``, one page that needs nothing else.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from boot.lab.svg import STYLE, Drawing, key

PLACE = "OTA_BOOT_EVIDENCE"  # the variable that names the directory of a run; without it nothing is kept
Moments = Sequence[tuple[float, str]]
_T = TypeVar("_T", "Verdict", "Life")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One test: its name, how it ended, the ids that it proves, when it ran (seconds since 1970), and in which process."""

    name: str
    outcome: str
    requirements: Sequence[str]
    began: float
    ended: float
    process: int


@dataclass(frozen=True, slots=True)
class Life:
    """One device: what the bootloader started, what was done to it, what it told the server, all in seconds since 1970."""

    board: str
    process: int
    ended: float
    computed: float  # CPU seconds of QEMU
    boots: Moments
    power: Moments  # see ``VM.power``
    told: Sequence[tuple[float, str, str]]  # when, the server's word for it, the text


def keep(what: Verdict | Life) -> None:
    """Leaves it for the report, if this run writes one."""
    if directory := os.environ.get(PLACE):
        path = Path(directory) / f"{type(what).__name__.lower()}-{uuid4().hex}.json"
        path.write_text(json.dumps(asdict(what)))


def begin(directory: Path) -> None:
    """Forgets the run before; the processes of this one know where to leave things, which is nobody else's place."""
    shutil.rmtree(directory, ignore_errors=True)
    os.environ[PLACE] = tempfile.mkdtemp(prefix="ota-boot-report-")


def finish(directory: Path) -> Path:
    """Writes the report about what was left; returns the page."""
    left = Path(os.environ.pop(PLACE))
    tests = sorted(_read(left, Verdict), key=lambda each: each.began)
    lives = sorted(_read(left, Life), key=_begin)
    values = {
        "machine": platform.machine(),
        "ended": int(time.time()),
        "outcomes": dict(Counter(each.outcome for each in tests)),
        "boots": sum(len(each.boots) for each in lives),
        "cuts": sum(what == "cut" for each in lives for _, what in each.power),
        "tests": [asdict(each) for each in tests],
        "devices": [asdict(each) for each in lives],
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "report.json").write_text(json.dumps(values, indent=1))
    (directory / "report.html").write_text(page(tests, lives))
    shutil.rmtree(left)
    return directory / "report.html"


def _read(directory: Path, kind: type[_T]) -> list[_T]:
    paths = directory.glob(f"{kind.__name__.lower()}-*.json")
    return [kind(**json.loads(path.read_text())) for path in paths]


def page(tests: Sequence[Verdict], lives: Sequence[Life]) -> str:
    """The page."""
    rows = "".join(
        f'<tr><td class="{"ok" if each.outcome == "passed" else "bad"}">{each.outcome}</td>'
        f'<td title="{escape(each.name)}">{escape(_short(each.name))}</td>'
        f'<td>{escape(" ".join(each.requirements))}</td><td class="n">{each.ended - each.began:.0f} s</td></tr>'
        for each in tests
    )
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(Counter(t.outcome for t in tests).items()))
    boots = sum(len(each.boots) for each in lives)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Devices on real bootloaders</title>'
        f"<style>{STYLE}</style><body><h1>Devices on real bootloaders</h1><p>{len(tests)} tests: {outcomes}. "
        f"{len(lives)} devices, {boots} boots.</p><table><tr><th></th><th>promise</th><th>proves</th>"
        f'<th class="n">time</th></tr>{rows}</table>{key(_KEY)}{"".join(_life(each, tests) for each in lives)}</body></html>\n'
    )


def _begin(life: Life) -> float:
    return min([at for at, _ in [*life.power, *life.boots]], default=life.ended)


def _life(life: Life, tests: Iterable[Verdict]) -> str:
    began = _begin(life)

    def since(moments: Moments) -> list[tuple[float, str]]:
        return [(at - began, what) for at, what in moments]

    mine = [t for t in tests if t.process == life.process and t.ended > began and t.began < life.ended]
    drawing = Drawing(life.ended - began)
    drawing.band("test", [(max(0.0, t.began - began), _short(t.name)) for t in mine], life.ended - began)
    drawing.band("slot", since(life.boots), life.ended - began)
    drawing.marks("power, cable", [(at, _POWER.get(what, "judged"), what) for at, what in since(life.power)])
    told = [(at - began, _WORDS.get(kind, "judged"), f"{kind}: {text}") for at, kind, text in life.told]
    drawing.marks("server is told", told)
    drawing.axis()
    said = "".join(f'<tr><td class="n">{at:.0f} s</td><td>{escape(title)}</td></tr>' for at, _, title in told)
    return (
        f"<h2>{escape(life.board)}: {len(life.boots)} boots, {life.computed:.0f} CPU seconds</h2>{drawing.render()}"
        f"<details><summary>What the server was told</summary><table>{said}</table></details>"
    )


_KEY = {"good": "switched on, success", "failed": "reset, failure", "broken": "power cut", "judged": "all else"}
_POWER: Mapping[str, str] = {"cut": "broken", "reset": "failed", "on": "good"}
_WORDS: Mapping[str, str] = {"FINISHED": "good", "ERROR": "failed", "CANCELED": "failed"}


def _short(name: str) -> str:
    return name.rpartition("::")[2].removeprefix("test_").replace("_", " ")


__all__ = ["PLACE", "Life", "Verdict", "begin", "finish", "keep", "page"]
