"""A server in a process of its own, from its start until it is not needed any more."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests


@contextmanager
def served(
    command: Sequence[str | Path],
    directory: Path,
    answers: str,
    *,
    patience: float,
    environment: Mapping[str, str] | None = None,
    login: tuple[str, str] | None = None,
) -> Iterator[None]:
    """Runs a server in ``directory`` until the block ends.

    Args:
        command: program and arguments.
        directory: where it works; ``server.log`` in it takes what it says.
        answers: an address; the server is there when this is answered with 200.
        patience: seconds until then.
        environment: of the process; ours without it.
        login: user and password for ``answers``.

    Raises:
        AssertionError: it ended, or did not answer in time; with the end of its log.
    """
    log = directory / "server.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        _await(answers, login, process, log, time.monotonic() + patience)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(
    url: str, login: tuple[str, str] | None, process: subprocess.Popen[bytes], log: Path, deadline: float
) -> None:
    with requests.Session() as session:
        session.trust_env = False
        while True:
            try:
                if session.get(url, auth=login, timeout=20).status_code == 200:
                    return
            except requests.RequestException:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start:\n{log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.3)
