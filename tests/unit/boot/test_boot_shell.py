"""The shell in a guest that takes commands of the harness from a port."""

from __future__ import annotations

import subprocess

from boot.lab.root_files import FILES


def answered(text: str) -> str:
    """What the loop of the shell writes for what it is sent; the port is a pipe here."""
    first, port, terminal, *loop = FILES["usr/lib/board/shell"].splitlines()
    assert (first, port.split()[0], terminal.split()[0]) == ("#!/usr/bin/bash", "exec", "stty")
    done = subprocess.run(["bash", "-c", "\n".join(loop)], input=text, capture_output=True, text=True, check=True)
    return done.stdout


def test_variables_last_from_one_line_to_the_next() -> None:
    assert answered("c=\nc=${c}true\necho $c\n") == "true\n"


def test_a_line_that_has_lost_its_beginning_swallows_no_other() -> None:
    assert answered('dHJ1ZQ==" | base64 -d)" ) </dev/null\necho "one"\necho "two"\n') == "one\ntwo\n"


def test_a_command_that_fails_ends_nothing() -> None:
    assert answered("false\n( exit 7 ); echo $?\n") == "7\n"
