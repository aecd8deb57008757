"""The manual pages ``ota-bundle(1)`` and ``ota-agent(1)``, from the trees of argparse and the tables beside them."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import agent
from agent.bundler import cli as bundler
from agent.bundler import environment, key_command
from agent.cli import main as agent_cli
from agent.config_table import DROP_IN_DIR, MAIN_FILE, VENDOR_DIR

_NOTE = '.\\" Made by tools/gen_docs.py; change the command line, not this page.'


@dataclass(frozen=True)
class Page:
    """What a page says beside what the command line knows.

    Attributes:
        name: of the program.
        about: in half a sentence.
        parser: makes the command line.
        exit_status: number and meaning.
        environment: variable and meaning.
        child_environment: what precedes further variables, and these.
        files: path and meaning.
        see_also: other pages.
    """

    name: str
    about: str
    parser: Callable[[], argparse.ArgumentParser]
    exit_status: Mapping[str, str]
    environment: Mapping[str, str]
    files: Mapping[str, str]
    see_also: Sequence[str]
    child_environment: Mapping[str, str] = field(default_factory=dict)


BUNDLE = Page(
    name="ota-bundle",
    about="make, sign and examine the update bundles of ota-agent and RAUC",
    parser=bundler.parser,
    exit_status={
        "0": "Done.",
        "1": "Refused or failed; standard error says what happened, why, and what to do next. With --json, standard output "
        "has the error with its stable code.",
        "2": "Wrong usage.",
    },
    environment=environment.VARIABLES,
    child_environment=key_command.VARIABLES,
    files={
        "manifest.raucm": "What a content directory says about itself; the format is RAUC's.",
        "*.raucb": "A bundle: a squashfs, for verity its hash tree, the CMS signature, and the length of the signature in 8 "
        "bytes.",
        "*.block-hash-index": "Made beside an image that asks for adaptive=block-hash-index: SHA-256 of each 4096 bytes.",
    },
    see_also=("rauc(1)", "openssl-cms(1)", "mksquashfs(1)", "pkcs11-tool(1)"),
)

AGENT = Page(
    name="ota-agent",
    about="update this device: signed bundles into the inactive slot, confirmed after a healthy boot",
    parser=agent_cli.parser,
    exit_status={
        "0": "Done. For doctor: nothing worse than a note was found.",
        "1": "Refused or failed; standard error says what happened, why, and what to do next. With --json, standard output "
        "has the error with its stable code. For doctor: a warning was found.",
        "2": "Wrong usage, or the configuration is wrong. For doctor: an error was found.",
        "3": "There was nothing to do.",
        "4": "The daemon cannot be reached.",
    },
    environment={"OTA_AGENT_BUS": "The message bus to find the daemon on: system, session or an address."},
    files={
        MAIN_FILE: "The configuration.",
        f"{DROP_IN_DIR}/*.toml": "Settings that override those.",
        f"{VENDOR_DIR}/*.toml": "Settings of the vendor, which all others override.",
        "/var/lib/ota-agent": "Lasting state, shared by all slots.",
    },
    see_also=(
        "ota-agent.toml(5)",
        "ota-agent-daemon(8)",
        "org.otaagent.Agent1(5)",
        "ota-bundle(1)",
        "rauc(1)",
        "fw_printenv(8)",
        "grub-editenv(1)",
        "systemctl(1)",
    ),
)


def manpage(page: Page) -> str:
    """The page, in the man macros of roff."""
    top = page.parser()
    commands = _commands(top)
    lines = [
        _NOTE,
        f'.TH {_text(page.name.upper())} 1 "" "ota\\-agent {agent.__version__}" "User Commands"',
        ".nh\n.ad l",
        ".SH NAME",
        _text(f"{page.name} - {page.about}"),
        ".SH SYNOPSIS",
        *(f".B {_text(f'{page.name} {name}')}\n{_synopsis(each)}\n.br" for name, each in commands.items()),
        ".SH DESCRIPTION",
        _text(str(top.description)),
        ".SH COMMANDS",
    ]
    for name, each in commands.items():
        lines += [f".SS {_text(name)}", _text(str(each.description)), *_arguments(each), *_prose(each.epilog or "")]
    lines += [".SH EXIT STATUS", *table(page.exit_status)]
    lines += [".SH ENVIRONMENT", *table(page.environment)]
    if page.child_environment:
        lines += [
            ".PP",
            _text("A command given by --sign-command finds in its environment:"),
            *table(page.child_environment),
        ]
    lines += [".SH FILES", *table(page.files)]
    lines += [".SH EXAMPLES", *_prose(str(top.epilog))]
    lines += [".SH SEE ALSO", ",\n".join(reference(each) for each in page.see_also)]
    return "\n".join(lines) + "\n"


def _commands(top: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """Every command by its words: ``status``, ``config show``."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                below = {f"{name} {rest}": command for rest, command in _commands(each).items()}
                found |= below or {name: each}
    return found


def _synopsis(command: argparse.ArgumentParser) -> str:
    """Positional arguments, then what must be given, then the rest in a word."""
    positional = [_positional(each) for each in command._actions if not each.option_strings]
    required = [_invocation(each) for each in command._actions if each.option_strings and each.required]
    for group in command._mutually_exclusive_groups:
        if group.required:
            required.append("{" + " | ".join(_invocation(each) for each in group._group_actions) + "}")
    return _text(" ".join([*positional, *required, "[OPTION ...]"]))


def _positional(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest)
    return {"?": f"[{name}]", "*": f"[{name} ...]"}.get(str(action.nargs), name)


def _invocation(action: argparse.Action) -> str:
    name = action.option_strings[-1]
    if action.nargs == 0:
        return name
    value = action.metavar or "|".join(map(str, action.choices or ())) or action.dest.upper()
    return f"{name} {value}"


def _arguments(command: argparse.ArgumentParser) -> Iterator[str]:
    for action in sorted(command._actions, key=lambda each: bool(each.option_strings)):
        if action.help and "-h" not in action.option_strings:
            name = _invocation(action) if action.option_strings else _positional(action)
            text = action.help % {"default": action.default, "prog": command.prog}
            yield f".TP\n.B {_text(name)}\n{_text(text[0].upper() + text[1:])}."


def _prose(text: str) -> Iterator[str]:
    """The text of a help page: indented lines are typed as they stand, the others are filled."""
    for block in text.strip("\n").split("\n\n"):
        for is_literal, lines in _runs(block.splitlines()):
            if is_literal:
                typed = textwrap.dedent("\n".join(lines)).splitlines()
                yield "\n".join([".PP\n.RS 4\n.EX", *map(_text, typed), ".EE\n.RE"])
            else:
                yield ".PP\n" + "\n".join(_text(line) for line in lines)


def _runs(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    run: list[str] = []
    literal = False
    for line in lines:
        if run and line.startswith(" ") != literal:
            yield literal, run
            run = []
        literal = line.startswith(" ")
        run.append(line)
    if run:
        yield literal, run


def table(rows: Mapping[str, str]) -> Iterator[str]:
    """Terms with their meanings."""
    return (f".TP\n.B {_text(name)}\n{_text(meaning)}" for name, meaning in rows.items())


def reference(name: str) -> str:
    """Another page, such as ``man(1)``."""
    page, _, section = name.partition("(")
    return f".BR {_text(page)} ({section}"


def _text(text: str) -> str:
    """Escapes what roff would understand: the backslash, the hyphen, a dot or quote at the start."""
    escaped = (
        text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga").replace("^", "\\(ha")
    )
    escaped = escaped.replace("~", "\\(ti")
    return "\\&" + escaped if escaped.startswith((".", "'")) else escaped


roff = _text  # also for the other pages
