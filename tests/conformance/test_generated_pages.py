"""The manual page and the completions are understood by the programs that they are for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agent.bundler.cli import COMMANDS, parser
from agent.bundler.environment import VARIABLES

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "man" / "ota-bundle.1"


def shown(width: int = 80) -> str:
    argv = ["groff", "-man", "-Tutf8", "-ww", f"-rLL={width}n", "-P-cbou", str(PAGE)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("width", [60, 80, 200])
def test_groff_has_nothing_to_say_about_the_page(width: int) -> None:
    assert "OTA-BUNDLE(1)" in shown(width)


def test_man_shows_it_without_a_warning() -> None:
    argv = ["man", "--warnings", "-E", "UTF-8", "-l", "-P", "cat", str(PAGE)]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    )
    assert done.stderr == ""


def test_the_page_has_every_command_option_and_variable() -> None:
    text = shown(200)
    for section in ("EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES", "SEE ALSO"):
        assert f"\n{section}\n" in text
    for name in (*(each.NAME for each in COMMANDS), *VARIABLES):
        assert name in text
    for line in parser().format_help().splitlines():
        if line.startswith("  ota-bundle"):
            assert line.strip() in text  # examples are typed as they stand, hyphens and quotes included


def completed(*words: str) -> list[str]:
    """What bash offers for the last of the words."""
    script = (
        f"source '{DOCS}/completions/ota-bundle.bash'; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
        "$(complete -p ota-bundle | sed 's/.*-F \\([^ ]*\\).*/\\1/') ; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split()


def test_bash_completes_commands_options_and_choices() -> None:
    assert completed("ota-bundle", "re") == ["resign", "replace-signature"]
    assert completed("ota-bundle", "create", "--inter") == ["--intermediate"]
    assert completed("ota-bundle", "create", "--compression", "z") == ["zstd"]


def test_zsh_understands_its_completion() -> None:
    path = DOCS / "completions" / "_ota-bundle"
    done = subprocess.run(["zsh", "-n", str(path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert path.read_text().startswith("#compdef ota-bundle")
