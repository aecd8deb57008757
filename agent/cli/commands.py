"""The commands that talk to the daemon. Each takes the parsed arguments and returns the exit status."""

from __future__ import annotations

import os
import stat
import time
from argparse import Namespace
from collections.abc import Callable, Collection, Mapping

from agent.cli.client import Client
from agent.cli.output import Exit, end_over, say, say_error, say_json, say_over
from agent.cli.status import progress_line, status_lines
from agent.daemon import dbus_names as names
from agent.errors import BundleError, EnvironmentFault, OtaError

# After these the device restarts, which may be faster than the news of it.
_SWITCHING = ("staged", "activating", "rebooting")


def status(arguments: Namespace) -> int:
    """Shows the properties, once or until interrupted."""

    def show(values: Mapping[str, object], _changed: Collection[str] = ()) -> bool:
        everything = {
            **values, "Update": client.properties(names.UPDATE), "Policy": client.properties(names.POLICY)
        }  # fmt: skip
        if arguments.json:
            say_json(everything)
        else:
            say([*status_lines(everything, time.time()), *([""] if arguments.watch else [])])
        return bool(arguments.watch)

    with Client(arguments.bus) as client:
        if arguments.watch:
            client.watch(show)
        else:
            show(client.properties())
    return Exit.OK


def check(arguments: Namespace) -> int:
    """Has the server asked now."""
    with Client(arguments.bus) as client:
        client.check()
    _done(arguments, "the server is being asked; ota-agent status tells what it says")
    return Exit.OK


def install(arguments: Namespace) -> int:
    """Hands a bundle to the daemon, and with ``--wait`` follows the update to its end or to the restart.

    It is opened here: what the caller can read, the daemon need not be able to.
    """
    fd, name = _opened(arguments.file), os.path.basename(arguments.file).encode("utf-8", "replace").decode()
    try:
        with Client(arguments.bus) as client:
            if arguments.wait:
                return _follow(client, lambda: client.install_file(fd, name), as_json=arguments.json)
            client.install_file(fd, name)
    finally:
        os.close(fd)
    _done(arguments, "accepted; ota-agent status --watch follows it")
    return Exit.OK


def _opened(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise BundleError(
            "bundle.not-found", "there is no such bundle, or it cannot be opened", details=str(error),
            resolution="check the path, and who may read the file",
        ) from error  # fmt: skip
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise BundleError("bundle.not-found", "this is no file", details=path, resolution="check the path")
    return fd


def cancel(arguments: Namespace) -> int:
    """Gives up the update under way, or the scrub."""
    with Client(arguments.bus) as client:
        values = client.properties()
        scrub = values.get("LastScrub")
        if values.get("State") == "idle" and not (isinstance(scrub, tuple) and "running" in scrub):
            raise OtaError("update.none", "no update is under way")
        client.cancel()
    _done(arguments, "it is being cancelled")
    return Exit.OK


def approve(arguments: Namespace) -> int:
    """Lets an action begin that waits for consent."""
    with Client(arguments.bus) as client:
        client.approve(arguments.action or "")
    _done(arguments, "approved; ota-agent status --watch follows it")
    return Exit.OK


def deny(arguments: Namespace) -> int:
    """Does not let it begin."""
    with Client(arguments.bus) as client:
        client.deny(arguments.action or "", arguments.reason)
    _done(arguments, "denied; the server is told")
    return Exit.OK


def mark(arguments: Namespace) -> int:
    """Has the bootloader told about a slot."""
    with Client(arguments.bus) as client:
        client.mark(arguments.state, arguments.slot)
    _done(arguments, {"active": "this slot boots next"}.get(arguments.state, f"the slot is marked {arguments.state}"))
    return Exit.OK


def _done(arguments: Namespace, text: str) -> None:
    if arguments.json:
        say_json({"accepted": True})
    else:
        say(text)


def _follow(client: Client, begin: Callable[[], None], *, as_json: bool) -> int:
    """Installs and shows what changes until the daemon is idle again or restarts the device."""
    began = False
    shown = last = ""
    end: dict[str, object] = {}

    def seen(values: Mapping[str, object], changed: Collection[str]) -> bool:
        nonlocal began, shown, last
        if not began:  # subscribed: from here on no change is missed
            began = True
            begin()
            return True
        state = last = str(values.get("State"))
        line = progress_line(values)
        if not as_json and line != shown and state != "idle":
            shown = line
            say_over(line)
        if "State" in changed and state in ("idle", "rebooting"):
            end.update(values)
        return not end

    try:
        client.watch(seen)
    except EnvironmentFault:
        if last not in _SWITCHING:
            raise
        end["State"] = "rebooting"
    if shown:
        end_over()
    return _ending(end, as_json=as_json)


def _ending(values: Mapping[str, object], *, as_json: bool) -> int:
    if values.get("State") == "rebooting":
        if as_json:
            say_json({"state": "rebooting"})
        else:
            say("installed; the device restarts into the new system and must prove it healthy")
        return Exit.OK
    result = values.get("LastResult")
    outcome, version, code, text = result if isinstance(result, tuple) and len(result) == 4 else ("", "", "", "")
    if outcome == "success":
        if as_json:
            say_json({"outcome": outcome, "version": version})
        else:
            say(f"updated to {version}")
        return Exit.OK
    error = values.get("LastError")
    advice = str(error[2]) if isinstance(error, tuple) and len(error) == 3 and error[0] == code else ""
    say_error(OtaError(str(code) or "update.cancelled", str(text) or str(outcome), resolution=advice), as_json=as_json)
    return Exit.FAILED
