"""``ota-agent config import-rauc``: RAUC's and rauc-hawkbit-updater's configuration as ours."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from agent import config
from agent.bundle.keyfile import MAX_SIZE
from agent.cli.config_command import check_slots
from agent.cli.output import Exit, say, say_json
from agent.errors import ConfigError, explain
from agent.migration.source import Source, read_source
from agent.migration.translate import Draft, translate
from agent.migration.updater_table import TOKEN_FILES
from agent.migration.writer import lines_of, what, write


def import_rauc(arguments: Namespace) -> int:
    """Writes the configuration; exit status 1 says that something in it needs a person."""
    output: Path | None = arguments.output
    rauc = _source(arguments.system_conf, arguments.installed_in)
    updater = _source(arguments.hawkbit_conf, None) if arguments.hawkbit_conf else None
    secrets = _secrets(updater, output)
    files = [*([output] if output else []), *secrets]
    _refuse_existing(files)
    draft = translate(rauc, updater, stores_secrets=output is not None)
    origin = [source.name for source in (rauc, updater) if source is not None]
    refused = _refused(write(draft, origin))
    text = write(draft, origin, refused)
    if output is not None:
        _store([*((file, token, 0o600) for file, token in secrets.items()), (output, text.encode(), 0o644)])
    if arguments.json:
        _tell_programs(draft, refused, files, text if output is None else None)
    else:
        _tell_a_person(draft, refused, files, text)
    return Exit.FAILED if draft.needs() or refused else Exit.OK


def _source(file: Path, installed_in: Path | None) -> Source:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_SIZE + 1)
    except OSError as error:
        raise ConfigError(
            "config.import-unreadable",
            f"{file} cannot be read",
            details=str(error),
            resolution="name RAUC's system.conf, and then perhaps rauc-hawkbit-updater's config.conf",
        ) from error
    return read_source(file.name, (installed_in or file.parent).absolute(), data)


def _secrets(updater: Source | None, output: Path | None) -> dict[Path, bytes]:
    """The files beside ``output`` that hold what must not stand in it."""
    if updater is None or output is None:
        return {}
    found = {name: updater.value("client", key).strip() for key, name in TOKEN_FILES.items()}
    return {output.parent / name: f"{token}\n".encode() for name, token in found.items() if token}


def _refused(text: str) -> list[str]:
    """What ``config check`` says against a configuration."""
    with tempfile.TemporaryDirectory(prefix="ota-agent-import-") as folder:
        file = Path(folder) / "ota-agent.toml"
        file.write_text(text, encoding="utf-8")
        _, resolution = config.survey([file])
        if resolution.problems:
            return [problem.removeprefix(f"{file}: ") for problem in resolution.problems]
        try:
            check_slots(config.load([file], secrets=False))  # the keys of the device are not here
        except Exception as error:
            parts = explain(error)
            if parts["code"] == "internal.unexpected":
                raise
            return [f"{parts['brief']}: {problem}" for problem in str(parts["details"]).split("; ")]
    return []


def _refuse_existing(files: Sequence[Path]) -> None:
    there = [str(file) for file in files if os.path.lexists(file)]
    if there:
        raise ConfigError(
            "config.import-exists",
            "nothing is written over what is there",
            details="\n".join(there),
            resolution="move it away, or choose another --output",
        )


def _store(contents: Sequence[tuple[Path, bytes, int]]) -> None:
    """Makes all of the files, or none."""
    made: list[Path] = []
    try:
        for file, data, mode in contents:
            fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            made.append(file)
            with os.fdopen(fd, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(fd)
    except OSError as error:
        for file in made:
            with contextlib.suppress(OSError):
                file.unlink()
        raise ConfigError(
            "config.import-unwritable",
            "the new configuration cannot be written",
            details=str(error),
            resolution="choose an --output in a directory where you may write",
        ) from error


def _tell_programs(draft: Draft, refused: list[str], files: Sequence[Path], text: str | None) -> None:
    answer: dict[str, object] = {
        "ok": not (draft.needs() or refused),
        "files": [str(file) for file in files],
        "needs": lines_of(draft.needs()),
        "refused": refused,
        "dropped": lines_of(draft.dropped()),
    }
    say_json(answer if text is None else {**answer, "toml": text})


def _tell_a_person(draft: Draft, refused: list[str], files: Sequence[Path], text: str) -> None:
    if not files:
        sys.stdout.buffer.write(text.encode())  # TOML is UTF-8, whatever the terminal is
        sys.stdout.flush()
    lines = [f"needs a person: {line.subject}: {what(line)}" for line in draft.needs()]
    lines += [f"config check refuses it: {problem}" for problem in refused]
    lines += [] if refused else ["config check accepts it"]
    sys.stderr.write("\n".join(lines) + "\n")
    if files:
        say(f"written: {', '.join(map(str, files))}")
