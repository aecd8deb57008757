"""What the doctor says: the worst first, with why and what to do; and an exit status for programs."""

from __future__ import annotations

import json
from argparse import Namespace

import pytest

from agent.cli import doctor as command
from agent.doctor.finding import Finding, error, failure, note, ok, warning
from bootloader_env.errors import BootEnvError

ASKED = {"config": None, "read_only": False, "json": False, "all": False}
FINE = ok("slot.size", "they are equal")
KNOWN = note("clock.synchronised", "no time service has set the clock")
BAD = warning("slot.size", "they differ")
WORSE = error("boot.order", "the boot order is empty")


@pytest.mark.parametrize(("worst", "status"), [(FINE, 0), (KNOWN, 0), (BAD, 1), (WORSE, 2)])
@pytest.mark.parametrize("as_json", [False, True])
def test_the_exit_status_tells_the_worst(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], worst: Finding, status: int, as_json: bool
) -> None:
    monkeypatch.setattr(command, "diagnose", lambda *_, **__: (FINE, worst))
    assert command.doctor(Namespace(**{**ASKED, "json": as_json})) == status
    assert capsys.readouterr().out


def test_the_worst_comes_first_and_says_why_and_what_to_do() -> None:
    text = list(command.lines((FINE, BAD, WORSE), everything=False))
    assert text[0] == "error    boot.order: the boot order is empty"
    assert text[1].strip().startswith("why: A slot that is not in the order")
    assert any(line.strip().startswith("fix: ") for line in text)
    assert not any(line.startswith("ok") for line in text)
    assert text[-1] == "3 looked at: 1 errors, 1 warnings, 0 notes"
    assert any(line.startswith("ok") for line in command.lines((FINE,), everything=True))


def test_the_advice_of_an_error_goes_before_that_of_the_table() -> None:
    found = failure("boot.environment", BootEnvError("bootenv.io", "it failed", details="EIO", resolution="replace it"))
    assert (found.found, found.fix, found.code) == ("it failed: EIO", "replace it", "bootenv.io")
    assert next(command.lines((found,), everything=False)).endswith("it failed: EIO [bootenv.io]")


def test_programs_get_everything_in_one_document(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "diagnose", lambda *_, **__: (FINE, BAD))
    command.doctor(Namespace(**{**ASKED, "json": True}))
    told = json.loads(capsys.readouterr().out)
    assert (told["worst"], told["checked"], len(told["findings"])) == ("warning", 2, 1)
    assert set(told["findings"][0]) == {"id", "severity", "found", "why", "fix", "code"}


def test_an_examination_that_takes_long_says_what_it_is_doing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = iter([0.0, 1.0, 3.0])
    monkeypatch.setattr(command.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(command.sys.stderr, "isatty", lambda: True)

    def slow(*_: object, begin: object, **__: object) -> tuple[Finding, ...]:
        begin("the clock")  # type: ignore[operator]
        begin("the keyring")  # type: ignore[operator]
        return (FINE,)

    monkeypatch.setattr(command, "diagnose", slow)
    command.doctor(Namespace(**ASKED))
    shown = capsys.readouterr().err
    assert "the keyring" in shown and "the clock" not in shown
