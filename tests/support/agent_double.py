"""The agent's interface on a bus with nothing behind it: ``python -m support.agent_double ADDRESS``.

Each line of its input is a JSON object: ``{"publish": {NAME: VALUE}}``, ``{"emit": [NAME, VALUE...]}`` or
``{"refuse": {METHOD: [CODE, TEXT]}}``. It writes ``ready``, and the method and the arguments of each call as JSON. The end of
its input ends it. What it serves is the real interface by the real server; who may call is not asked.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gi.repository import GLib

from agent.bus.access import Caller, Decided, Question
from agent.bus.introspection import AGENT
from agent.bus.serve import Answer, Call, Served, Server
from agent.daemon.dbus_names import BUS_NAME, OBJECT_PATH, error_message, error_name
from agent.errors import PolicyError, explain


class Everybody:
    """Access for all."""

    def ask(self, _connection: object, _question: Question, decided: Decided) -> None:
        decided(Caller(0, None))


class Double:
    """Says what was called, and does what it was told to."""

    def __init__(self) -> None:
        self.refusals: dict[str, list[str]] = {}

    def call(self, call: Call) -> Answer:
        if call.method in self.refusals:
            code, text = self.refusals[call.method]
            raise PolicyError(code, text, resolution="try something else")
        _say(json.dumps([call.method, *call.values]))
        return ()

    def error(self, error: Exception) -> tuple[str, str]:
        parts = explain(error)
        return error_name(str(parts["code"])), error_message(parts)


class Told:
    """The process, from the outside."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def publish(self, **values: object) -> None:
        self._write({"publish": values})

    def emit(self, name: str, *values: object) -> None:
        self._write({"emit": [name, *values]})

    def refuse(self, method: str, code: str, text: str) -> None:
        self._write({"refuse": {method: [code, text]}})

    def accept(self) -> None:
        """Nothing is refused any more."""
        self._write({"refuse": {}})

    def hang(self) -> None:
        """Answers nobody until ``go_on``."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Answers everything that has come meanwhile."""
        self._process.send_signal(signal.SIGCONT)

    def forget(self) -> None:
        """Forgets the calls so far; nobody may be calling."""
        self._write({"mark": True})
        while self.called() != ["mark"]:
            pass

    def called(self) -> list[Any]:
        """The next call that it got."""
        assert self._process.stdout
        found: list[Any] = json.loads(self._process.stdout.readline())
        return found

    def _write(self, order: object) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{json.dumps(order)}\n")
        self._process.stdin.flush()


@contextmanager
def agent_double(address: str, **values: object) -> Iterator[Told]:
    """Runs it on a bus, with these properties."""
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, "-m", "support.agent_double", address, json.dumps(values)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{root.parent}:{root}"},
    ) as process:  # fmt: skip
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield Told(process)
        finally:
            process.kill()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    """JSON has no tuples; GLib takes lists for those, too, but not in a comparison."""
    return tuple(map(_plain, value)) if isinstance(value, list) else value


def main() -> int:
    loop, double = GLib.MainLoop(), Double()
    initial = {name: _plain(value) for name, value in json.loads(sys.argv[2]).items()}
    served = Served(BUS_NAME, OBJECT_PATH, AGENT.read_text(), initial)
    server = Server(sys.argv[1], served, double, Everybody())
    server.start()

    def obey() -> None:
        for line in sys.stdin:
            order = json.loads(line)
            if "publish" in order:
                server.publish({name: _plain(value) for name, value in order["publish"].items()})
            elif "mark" in order:
                _say(json.dumps(["mark"]))
            elif "emit" in order:
                server.emit(*order["emit"])
            else:
                double.refusals = order["refuse"]
        GLib.idle_add(loop.quit)

    threading.Thread(target=obey, daemon=True).start()
    _say("ready")
    loop.run()
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
