"""What a person says to updates on the command line, over a real bus."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bus import private_bus, served

from agent.cli.main import main


class Line:
    """A served daemon, and what it is asked."""

    def __init__(self, address: str, daemon: subprocess.Popen[str]) -> None:
        self.address = address
        self.daemon = daemon

    def __call__(self, *words: str) -> int:
        return main([*words, "--bus", self.address])

    def heard(self) -> str:
        assert self.daemon.stdout
        return self.daemon.stdout.readline().removeprefix("asked ").strip()


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with private_bus(tmp_path_factory.mktemp("bus")) as address, served(address) as daemon:
        yield Line(address, daemon)


@pytest.mark.parametrize(("time", "seconds"), [("90", 90), ("30m", 1800), ("2h", 7200), ("1d", 86400)])
def test_a_postponement_takes_times_as_people_say_them(line: Line, time: str, seconds: int) -> None:
    assert line("postpone", time) == 0
    assert line.heard() == f"postpone {seconds}"


def test_installing_now_reaches_the_daemon(line: Line) -> None:
    assert line("install-now") == 0
    assert line.heard() == "install_now"


@pytest.mark.req("C05")
def test_the_opt_out_is_one_command_and_so_is_the_way_back(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    assert line("auto", "off") == 0
    assert [line.heard(), line.heard()] == ["set auto-security False", "set auto-functionality False"]
    assert "you are still told" in capsys.readouterr().out
    assert line("auto", "on") == 0
    assert [line.heard(), line.heard()] == ["set auto-security True", "set auto-functionality True"]


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["approval", "ask-install"], "set approval ask-install"),
        (["Metered", "avoid"], "set metered avoid"),
        (["auto-functionality", "off"], "set auto-functionality False"),
        (["bandwidth-limit", "2M"], f"set bandwidth-limit {2 << 20}"),
        (
            ["windows", "Mon-Fri 02:00-05:00", "Sat 00:00-24:00"],
            "set windows ['Mon-Fri 02:00-05:00', 'Sat 00:00-24:00']",
        ),
        (["windows"], "set windows []"),
    ],
)
def test_a_setting_of_the_policy_arrives_with_its_type(line: Line, words: list[str], asked: str) -> None:
    assert line("policy", "set", *words) == 0
    assert line.heard() == asked


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["policy", "set", "profile", "managed"], "policy.unknown"),
        (["policy", "set", "auto-security", "maybe"], "policy.invalid"),
        (["policy", "set", "bandwidth-limit", "fast"], "policy.invalid"),
        (["policy", "set", "metered"], "policy.invalid"),
        (["postpone", "later"], "policy.invalid"),
    ],
)
def test_what_makes_no_sense_is_told_without_asking_the_daemon(
    line: Line, words: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line(*words, "--json") == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code


def test_the_policy_is_shown_for_people_and_for_programs_and_can_be_taken_back(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line("policy", "show") == 0
    shown = dict(text.split(None, 1) for text in capsys.readouterr().out.splitlines())
    assert (shown["profile"], shown["approval"], shown["auto-security"], shown["windows"]) == (
        "consumer",
        "auto",
        "off",
        "none",
    )
    assert line("policy", "show", "--json") == 0
    assert json.loads(capsys.readouterr().out)["windows"] == []
    assert line("policy", "reset") == 0
    assert line.heard() == "reset"


def test_the_example_of_the_documentation_is_a_configuration(tmp_path: Path) -> None:
    import tomllib

    from agent.config_policy import POLICY_SETTINGS

    text = (
        Path(__file__).parents[2].joinpath("docs/consent.md").read_text().partition("```toml\n")[2].partition("```")[0]
    )
    rows = {row.key: row for row in POLICY_SETTINGS}
    for key, value in tomllib.loads(text)["policy"].items():
        rows[key].kind.accept(value, tmp_path)
