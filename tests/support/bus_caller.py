"""Makes calls to the agent as another user: ``python -m support.bus_caller ADDRESS UID GROUPS AT_ONCE < calls``.

See ``calls_as`` in ``support.system_bus``.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from gi.repository import Gio, GLib

from agent.daemon.dbus_names import BUS_NAME, OBJECT_PATH
from support.bus import connect


def _value(signature: str, values: list[Any]) -> Any:
    texts = [GLib.Variant(*each) if isinstance(each, list) and len(each) == 2 else each for each in values]
    return GLib.Variant(f"({signature})", tuple(texts)) if signature else None


def main() -> int:
    address, uid, groups, at_once = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), int(sys.argv[4])
    calls = json.load(sys.stdin)
    null = os.open(os.devnull, os.O_RDONLY)
    os.setgroups(groups)
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    connection = connect(address)
    answers: list[str | None] = [None] * len(calls)
    left = list(enumerate(calls))
    loop = GLib.MainLoop()

    def done(source: Any, result: Any, number: int) -> None:
        try:
            source.call_with_unix_fd_list_finish(result)
            answers[number] = ""
        except GLib.Error as error:
            answers[number] = (Gio.DBusError.get_remote_error(error) or error.message).rpartition(".")[2]
        if len(answers) - answers.count(None) == 1:
            sys.stderr.write("first\n")
            sys.stderr.flush()
        if left:
            call()
        elif None not in answers:
            loop.quit()

    def call() -> None:
        number, (interface, method, signature, values) = left.pop(0)
        fds = Gio.UnixFDList.new()
        if "h" in signature:
            fds.append(null)
        connection.call_with_unix_fd_list(
            BUS_NAME, OBJECT_PATH, interface, method, _value(signature, values), None, Gio.DBusCallFlags.NONE, 20000,
            fds, None, done, number,
        )  # fmt: skip

    for _ in range(min(at_once, len(calls))):
        call()
    if calls:
        loop.run()
    sys.stdout.write(json.dumps(answers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
