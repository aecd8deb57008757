"""The command line ``ota-agent``: reads the arguments and calls what does the work.

What a command needs is imported when it is called, so that the daemon, which starts here too, carries nothing of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

_ABOUT = "Updates this device: signed bundles into the inactive slot, confirmed only after a healthy boot."
_EXAMPLES = """\
examples:
  ota-agent status                        what runs, what is going on, how the last update ended
  ota-agent status --watch                the same, again whenever something changes
  ota-agent check                         ask the server now
  ota-agent install --wait update.raucb   install a file, and follow it until the restart
  ota-agent approve                       let an update begin that waits for consent
  ota-agent postpone 2h                   leave it for later
  ota-agent auto off                      have no update installed by itself
  ota-agent scrub                         is the other slot still as it was installed?
  ota-agent audit verify                  is the record of decisions complete and unchanged?
  ota-agent doctor                        is anything on this device in the way of updates?
  ota-agent health                        would a new system like this one be confirmed?
  ota-agent config check my.toml          is this configuration right?
  ota-agent demo                          a device and a server in a folder, to play with

exit status:
  0 done   1 failed   2 wrong usage or configuration   3 nothing to do   4 the daemon cannot be reached
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: the arguments without the program's name; None takes those of the process.

    Returns:
        The exit status, see ``agent.cli.output.Exit``.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    files = _daemon_files(arguments)
    if files is not None:
        from agent.daemon.main import run
        from agent.frugal import forget_reading

        return run(files or None, loaded=forget_reading)
    if arguments[:1] == ["demo"]:  # it has its own arguments and its own --help
        if find_spec(".demo", "agent") is None:  # packages for devices leave it out
            print("ota-agent: this installation has no demo", file=sys.stderr)
            return 2
        from agent.demo.play import main as play

        return play(arguments[1:])
    top = parser()
    if not arguments:
        top.print_help()
        return 2
    return _call(top.parse_args(arguments))


def _daemon_files(arguments: Sequence[str]) -> list[Path] | None:
    """The files of ``daemon [--config FILE]...``; None for anything else, which the full parser then judges.

    The daemon stays in memory for ever: it is spared argparse.
    """
    if arguments[:1] != ["daemon"]:
        return None
    rest = list(arguments[1:])
    files: list[Path] = []
    while rest:
        word = rest.pop(0)
        if word.startswith("--config="):
            files.append(Path(word.removeprefix("--config=")))
        elif word == "--config" and rest and not rest[0].startswith("-"):
            files.append(Path(rest.pop(0)))
        else:
            return None
    return files


def _call(arguments: Namespace) -> int:
    from agent.cli.output import Exit, say_error

    try:
        status: int = arguments.command(arguments)
    except KeyboardInterrupt:
        return 128 + 2  # what a shell reports for SIGINT
    except BrokenPipeError:  # the reader, for example head(1), has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Exception as error:
        from agent.errors import explain

        if explain(error)["code"] == "internal.unexpected":
            raise  # a defect: the traceback is the best explanation
        return say_error(error, as_json=getattr(arguments, "json", False))
    return status


def parser() -> ArgumentParser:
    """The command line as argparse reads it; the manual page and the completions are made from it."""
    from argparse import ArgumentParser, RawDescriptionHelpFormatter

    top = ArgumentParser(
        prog="ota-agent", description=_ABOUT, epilog=_EXAMPLES, formatter_class=RawDescriptionHelpFormatter
    )
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, call: str, text: str, *, bus: bool = False, where: Any = commands) -> ArgumentParser:  # noqa: ANN401 - argparse keeps the type private
        command: ArgumentParser = where.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.set_defaults(command=lambda arguments: _load(call)(arguments))  # noqa: PLW0108 - imports only when called
        if call != "main:_daemon":  # it answers nobody: it logs
            command.add_argument("--json", action="store_true", help="print JSON for programs")
        if bus:
            default = os.environ.get("OTA_AGENT_BUS", "system")
            text = "message bus: system, session or an address (default: $OTA_AGENT_BUS, else system)"
            command.add_argument("--bus", default=default, help=text)
        return command

    status = add("status", "commands:status", "what runs, what is going on, how the last update ended", bus=True)
    status.add_argument("--watch", action="store_true", help="show it again whenever something changes")
    add("check", "commands:check", "ask the server for an update now", bus=True)
    install = add("install", "commands:install", "install the bundle in a local file", bus=True)
    install.add_argument("file", metavar="FILE", help="the bundle")
    install.add_argument("--wait", action="store_true", help="follow the update to its end or to the restart")
    add(
        "cancel", "commands:cancel", "give up the update under way, as long as that is possible, or the scrub", bus=True
    )
    for name, text in (
        ("approve", "let an update begin that waits for somebody's consent"),
        ("deny", "do not let it begin, and tell the server why"),
    ):
        consent = add(name, f"commands:{name}", text, bus=True)
        consent.add_argument(
            "action", metavar="ACTION", nargs="?", help="the server's number of it, to be sure which it is"
        )
        if name == "deny":
            consent.add_argument("--reason", metavar="TEXT", default="", help="what the server is told")
    _add_consent(add, commands)
    mark = add("mark", "commands:mark", "tell the bootloader that a slot is good, bad or boots next", bus=True)
    mark.add_argument("state", metavar="STATE", choices=("good", "bad", "active"), help="good, bad or active")
    mark.add_argument(
        "slot", metavar="SLOT", nargs="?", default="booted", help="booted (as without it), other, a slot or a boot name"
    )
    scrub = add("scrub", "scrub:scrub", "compare slots that do not run with what was installed in them", bus=True)
    scrub.add_argument("slot", metavar="SLOT", nargs="?", help="a slot or a boot name, instead of all that do not run")

    config = commands.add_parser("config", help="show, check or import the configuration")
    actions = config.add_subparsers(metavar="ACTION", required=True)
    show = add("show", "config_command:show", "the settings in force and where they come from", where=actions)
    show.add_argument("--defaults", action="store_true", help="also those that nobody has set")
    _add_config(show)
    check = add("check", "config_command:check", "say whether configuration files are right", where=actions)
    check.add_argument("files", metavar="FILE", nargs="*", type=Path, help="instead of the standard places")
    _add_import(add("import-rauc", "import_rauc:import_rauc", "turn RAUC's configuration into ours", where=actions))

    doctor = add(
        "doctor", "doctor:doctor", "look at the whole device for what would hinder an update, and say how to mend it"
    )
    doctor.add_argument("--all", action="store_true", help="also show what is in order")
    doctor.add_argument("--read-only", action="store_true", help="do not prove the boot environment by writing to it")
    _add_config(doctor)

    _add_audit(commands, add)
    _add_config(add("health", "health:health", "run the health checks now, as a new system on trial would"))

    _add_config(add("daemon", "main:_daemon", "run the service (systemd starts it)"))
    about = "A device and a server in a folder, to play with; ota-agent demo --help tells its options."
    commands.add_parser(
        "demo", help="a device and a server in a folder, to play with", description=about, add_help=False
    )
    add("version", "main:_version", "the version of the agent")
    return top


def _add_consent(add: Callable[..., ArgumentParser], commands: Any) -> None:  # noqa: ANN401 - argparse keeps the type private
    postpone = add("postpone", "consent:postpone", "leave the update that waits for later", bus=True)
    postpone.add_argument("time", metavar="TIME", help="for how long: seconds, or such as 30m, 2h or 1d")
    add(
        "install-now",
        "consent:install_now",
        "do not wait for the maintenance window or the end of a postponement",
        bus=True,
    )
    auto = add("auto", "consent:auto", "switch updates that are installed by themselves on or off", bus=True)
    auto.add_argument("switch", choices=("on", "off"), help="with off, you are still told of each update")
    policy = commands.add_parser("policy", help="when updates are installed, as the user of the device wants it")
    actions = policy.add_subparsers(metavar="ACTION", required=True)
    add("show", "consent:show", "the policy in force", bus=True, where=actions)
    change = add("set", "consent:change", "change a setting, over restarts and updates", bus=True, where=actions)
    change.add_argument("name", metavar="NAME", help="see ota-agent policy show")
    change.add_argument("value", metavar="VALUE", nargs="*", help="each window is a value of its own; none: no windows")
    add("reset", "consent:reset", "take back everything that was set", bus=True, where=actions)


def _add_audit(commands: Any, add: Callable[..., ArgumentParser]) -> None:  # noqa: ANN401 - argparse keeps the type private
    audit = commands.add_parser("audit", help="show, verify or export what was decided on this device")
    actions = audit.add_subparsers(metavar="ACTION", required=True)
    show = add("show", "audit:show", "the records, the oldest first", bus=True, where=actions)
    show.add_argument("--since", metavar="DATE", help="only from this moment on (UTC unless it says otherwise)")
    show.add_argument("--event", metavar="EVENT", help="only this event, for example fallback")
    verify = add("verify", "audit:verify", "say whether records are missing or were changed", bus=True, where=actions)
    verify.add_argument("file", metavar="FILE", nargs="?", type=Path, help="an exported file, instead of this device")
    export = add(
        "export", "audit:export", "write all records into a file to be kept elsewhere", bus=True, where=actions
    )
    export.add_argument("file", metavar="FILE", type=Path, help="a file that does not exist yet")
    for action in (show, verify, export):
        _add_config(action)


def _add_import(command: ArgumentParser) -> None:
    command.add_argument("system_conf", metavar="SYSTEM_CONF", type=Path, help="RAUC's system.conf")
    text = "rauc-hawkbit-updater's config.conf"
    command.add_argument("hawkbit_conf", metavar="HAWKBIT_CONF", nargs="?", type=Path, help=text)
    text = "write it there, and a token into a file beside it, instead of standard output"
    command.add_argument("--output", metavar="FILE", type=Path, help=text)
    text = "where SYSTEM_CONF is on the device, if not in the same place: relative paths start there"
    command.add_argument("--installed-in", metavar="DIR", type=Path, help=text)


def _add_config(parser: ArgumentParser) -> None:
    text = "read this file instead of the standard places; may be repeated"
    parser.add_argument("--config", metavar="FILE", action="append", type=Path, help=text)


def _load(call: str) -> Any:  # noqa: ANN401 - a command, imported by name
    from importlib import import_module

    module, _, name = call.partition(":")
    return getattr(import_module(f"agent.cli.{module}"), name)


def _daemon(arguments: Namespace) -> int:
    from agent.daemon.main import run

    return run(arguments.config)


def _version(arguments: Namespace) -> int:
    from agent import __version__
    from agent.cli.output import Exit, say, say_json

    if arguments.json:
        say_json({"version": __version__})
    else:
        say(f"ota-agent {__version__}")
    return Exit.OK
