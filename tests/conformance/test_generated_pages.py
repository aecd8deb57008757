"""The manual pages and the completions are understood by the programs that they are for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agent.bundler.cli import COMMANDS, parser
from agent.bundler.environment import VARIABLES
from agent.cli.main import parser as agent_parser
from agent.config_table import SETTINGS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PROGRAMS = {"ota-bundle": parser, "ota-agent": agent_parser}


PAGES = sorted(path.name for path in (DOCS / "man").iterdir())
SYSTEMD = DOCS.parent / "systemd"


def shown(program: str, width: int = 80) -> str:
    page = program if program in PAGES else f"{program}.1"
    argv = ["groff", "-man", "-Tutf8", "-ww", f"-rLL={width}n", "-P-cbou", str(DOCS / "man" / page)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [60, 80, 200])
def test_groff_has_nothing_to_say_about_the_page(page: str, width: int) -> None:
    name, _, section = page.rpartition(".")
    assert f"{name.upper()}({section})" in shown(page, width).upper()


@pytest.mark.parametrize("page", PAGES)
def test_man_shows_it_without_a_warning(page: str) -> None:
    argv = ["man", "--warnings", "-E", "UTF-8", "-l", "-P", "cat", str(DOCS / "man" / page)]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    )
    assert done.stderr == ""


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_page_has_every_section_and_example(program: str) -> None:
    text = shown(program, 200)
    for section in ("EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES", "SEE ALSO"):
        assert f"\n{section}\n" in text
    examples = [line for line in PROGRAMS[program]().format_help().splitlines() if line.startswith(f"  {program}")]
    assert examples
    for line in examples:
        assert line.strip() in text  # they are typed as they stand, hyphens and quotes included


def test_the_page_of_the_bundler_has_every_command_and_variable() -> None:
    for name in (*(each.NAME for each in COMMANDS), *VARIABLES):
        assert name in shown("ota-bundle", 200)


def test_the_page_of_the_agent_has_every_command() -> None:
    text = shown("ota-agent", 200)
    for name in ("status", "check", "install", "cancel", "scrub", "doctor", "config show", "config check", "version"):
        assert f"\n   {name}\n" in text


def test_the_page_of_the_configuration_has_every_setting() -> None:
    text = shown("ota-agent.toml.5", 200)
    for row in SETTINGS:
        assert row.key == "*" or f"\n       {row.key}\n" in text or f"\n       {row.key} " in text, row.key


def test_the_page_of_the_service_has_every_unit() -> None:
    text = shown("ota-agent-daemon.8", 200)
    units = [path.name for kind in ("service", "socket", "timer") for path in SYSTEMD.glob(f"ota-agent*.{kind}")]
    assert [name for name in units if "@" not in name and f"       {name}\n" not in text] == []


def completed(*words: str) -> list[str]:
    """What bash offers for the last of the words."""
    script = (
        f"source '{DOCS}/completions/{words[0]}.bash'; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
        f"$(complete -p {words[0]} | sed 's/.*-F \\([^ ]*\\).*/\\1/') ; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split()


def test_bash_completes_commands_options_and_choices() -> None:
    assert completed("ota-bundle", "re") == ["resign", "replace-signature"]
    assert completed("ota-bundle", "create", "--inter") == ["--intermediate"]
    assert completed("ota-bundle", "create", "--compression", "z") == ["zstd"]
    assert completed("ota-agent", "s") == ["status", "scrub"]
    assert completed("ota-agent", "doctor", "--r") == ["--read-only"]
    assert completed("ota-agent", "config", "s") == ["show"]


def offered_by_fish(words: str) -> list[str]:
    """What fish offers for the last of the words."""
    program = words.split()[0]
    script = f"source '{DOCS}/completions/{program}.fish'; complete -C '{words}'"
    done = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


def test_fish_completes_commands_and_options() -> None:
    assert offered_by_fish("ota-agent sta") == ["status"]
    assert offered_by_fish("ota-agent doctor --read") == ["--read-only"]
    assert offered_by_fish("ota-agent config sh") == ["show"]
    assert set(offered_by_fish("ota-bundle re")) == {"resign", "replace-signature"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_zsh_understands_its_completion(program: str) -> None:
    path = DOCS / "completions" / f"_{program}"
    done = subprocess.run(["zsh", "-n", str(path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert path.read_text().startswith(f"#compdef {program}")
