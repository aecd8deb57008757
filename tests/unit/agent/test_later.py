"""A module that is put off is there as soon as it is used, for everybody."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent import later

ROOT = Path(__file__).parents[3]
_HALF = """
first = 1
import gate
gate.begun.set()
gate.go.wait(30)
last = 2

class Part:
    made = 3
    def __init__(self, value=0):
        self.value = value
"""
_PROGRAM = """
from agent.frugal import begin
begin()
import dataclasses, inspect, logging, subprocess, sys

@dataclasses.dataclass(frozen=True, slots=True)
class Bare:
    number: int = 1

print(type(sys.modules["inspect"]).__name__)
print(inspect.signature(Bare))
print(subprocess.run(["cat"], input="\u00fc", text=True, capture_output=True).stdout)
print(subprocess.run(["sh", "-c", "echo out; echo err >&2"], capture_output=True).stderr.decode())
try:
    {}["x"]
except KeyError:
    logging.exception("failed")
"""


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    (tmp_path / "half.py").write_text(_HALF)
    (tmp_path / "gate.py").write_text("import threading\nbegun, go = threading.Event(), threading.Event()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(later, "PUT_OFF", {"half": ("Part",)})
    monkeypatch.delitem(sys.modules, "half", raising=False)
    monkeypatch.delitem(sys.modules, "gate", raising=False)
    later.put_off()
    return importlib.import_module("gate")


def test_importing_does_not_load_and_using_does(gate) -> None:
    import half
    from half import Part

    assert not gate.begun.is_set()
    gate.go.set()
    assert (half.last, Part(5).value, Part.made) == (2, 5, 3)
    assert type(sys.modules["half"]).__name__ == "module"


def test_two_threads_that_come_at_once_see_the_whole_module(gate) -> None:
    import half

    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(half.last)) for _ in range(2)]
    threads[0].start()
    assert gate.begun.wait(30)
    threads[1].start()
    threads[1].join(0.1)
    gate.go.set()
    for thread in threads:
        thread.join()
    assert seen == [2, 2]


def test_what_is_loaded_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    placed: Mapping[str, tuple[str, ...]] = {"subprocess": ()}
    monkeypatch.setattr(later, "PUT_OFF", placed)
    later.put_off()
    assert sys.modules["subprocess"] is subprocess


def test_what_was_put_off_serves_signatures_subprocess_and_tracebacks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["_Later", "(number:", "int", "=", "1)", "->", "None", "\u00fc", "err"]
    assert "KeyError: 'x'" in done.stderr


@pytest.mark.parametrize(
    "ask",
    [
        "get_annotations(Frozen)",
        "get_annotations(Bare)",
        "get_annotations(plain)",
        "get_annotations(Frozen, eval_str=True)",
        "unwrap(plain)",
        "unwrap(wrapped) is plain",
        "unwrap(vars(Having)['of']) is plain",
        "unwrap(wrapped, stop=lambda each: True) is wrapped",
    ],
)
def test_what_dataclasses_asks_of_inspect_is_answered_as_by_inspect(ask: str) -> None:
    program = f"""
{{begin}}
import inspect, functools
class Bare: pass
class Frozen:
    number: int = 1
def plain(text: str) -> int: return 1
@functools.wraps(plain)
def wrapped(): pass
class Having: of = classmethod(plain)
get_annotations, unwrap = inspect.get_annotations, inspect.unwrap
print(str({ask}).split(" at ")[0])
"""
    answers = {
        subprocess.run(
            [sys.executable, "-c", program.format(begin=begin)], check=True, capture_output=True, cwd=ROOT
        ).stdout
        for begin in ("", "from agent.later import put_off; put_off()")
    }
    assert len(answers) == 1


_SLOTTED = """
import sys
from agent.frugal import begin
begin()
import dataclasses

@dataclasses.dataclass(frozen=True, slots=True)
class Named:
    name: str

    @classmethod
    def of(cls):
        return cls("")

print(type(sys.modules["inspect"]).__name__, dataclasses.fields(Named)[0].name)
"""


def test_classes_with_slots_are_made_without_inspect() -> None:
    done = subprocess.run([sys.executable, "-c", _SLOTTED], check=True, capture_output=True, cwd=ROOT)
    assert done.stdout.split() == [b"_Later", b"name"]
