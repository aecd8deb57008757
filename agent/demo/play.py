"""``ota-agent demo``: a device, a server and an operator in one folder, and five acts about what can go wrong."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.cli.status import status_lines
from agent.demo import tools
from agent.demo.acts import ACTS, Act, perform
from agent.demo.screen import Result, Screen
from agent.demo.world import World
from agent.errors import OtaError, explain

_REST = 20.0  # seconds until the device rests after the last act
_SMALLEST, _LARGEST = 16, 4096  # MiB; the power is cut after the first checkpoint, at 8 MiB
_INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended

_HELP = """\
Plays five acts on a device in a folder: no root, no hardware, no network but loopback.

Everything is real: file systems made by mke2fs, bundles signed with a throwaway PKI, the agent's own processes, TLS
to a hawkBit compatible server, a redundant U-Boot environment. Only the reset is simulated: everything is killed, and
a boot script chooses a slot again, from the bytes of the environment.
"""


def main(argv: list[str]) -> int:
    """Plays the acts; returns 0 when every one ended as told, 1 when not, 2 when the demo could not be set up."""
    options = _options(argv)
    screen = Screen(sys.stderr if options.json else sys.stdout)
    wanted = [act for act in ACTS if not options.act or act.number in options.act]
    try:
        with _terminable(), _folder(options.dir, keep=options.keep) as directory:
            report = _play(screen, directory, wanted, options.size)
            if options.dir is not None or options.keep:
                _try_it(screen, directory)
            if not options.keep:
                _drop_large(directory)
    except KeyboardInterrupt:
        screen.say("interrupted; everything was ended", "bad")
        return _INTERRUPTED
    except OtaError as error:
        parts = explain(error)
        screen.say(f"{parts['brief']}: {parts['details']}" if parts["details"] else str(parts["brief"]), "bad")
        if parts["resolution"]:
            screen.say(f"next: {parts['resolution']}")
        return 2
    except OSError as error:
        screen.say(f"the demo cannot go on: {error}", "bad")
        return 2
    if options.json:
        print(json.dumps(report, indent=1))
    return 0 if report["ok"] else 1


def _options(argv: Sequence[str]) -> argparse.Namespace:
    acts = "\n".join(f"  {act.number}  {act.title}: {act.expected}" for act in ACTS)
    parser = argparse.ArgumentParser(
        prog="ota-agent demo", description=_HELP, epilog=f"acts:\n{acts}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--dir", type=Path, metavar="DIR", help="play in this folder; by default in a temporary one")
    parser.add_argument(
        "--act", type=int, action="append", choices=[act.number for act in ACTS], metavar="N",
        help="play only this act; may be given again",
    )  # fmt: skip
    parser.add_argument(
        "--keep", action="store_true", help="keep bundles and slots, and a temporary folder, at the end"
    )
    parser.add_argument("--json", action="store_true", help="the report on standard output, the play on standard error")
    parser.add_argument(
        "--size", type=int, default=24, metavar="MIB", help="of a root file system, default %(default)s"
    )
    options = parser.parse_args(argv)
    if not _SMALLEST <= options.size <= _LARGEST:
        parser.error(f"--size must be from {_SMALLEST} to {_LARGEST}")
    return options


def _status(world: World) -> list[str]:
    """What a person would read on the device once it rests again."""
    rests = {"State": "idle", "ServerState": "ok"}
    world.wait_for(
        lambda: rests.items() <= world.properties().items(), _REST, "the device rests and has asked the server"
    )
    return status_lines(world.properties(), time.time())


def _play(screen: Screen, directory: Path, acts: Sequence[Act], size: int) -> dict[str, object]:
    began = time.monotonic()
    screen.title("ota-agent demo", f"A device, a server and an operator in {directory}; only the reset is simulated.")
    results: list[Result] = []
    bus = bool(tools.find("dbus-daemon"))
    with World(directory, size=size, bus=bus, listen=screen.event, progress=screen.progress) as world:
        for act in acts:
            screen.act(act.number, act.title, act.why)
            result = perform(act, world)
            screen.verdict(result)
            results.append(result)
            if not result.ok:  # the next act would begin on unknown ground
                break
        status = _status(world) if bus and results[-1].ok else []
    results += [_unplayed(act) for act in acts[len(results) :]]
    report: dict[str, object] = {
        "acts": [_reported(result) for result in results],
        "ok": all(result.ok for result in results),
        "seconds": round(time.monotonic() - began, 3),
    }
    (directory / "report.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    screen.table(results)
    screen.gap()
    good, seconds = sum(result.ok for result in results), time.monotonic() - began
    screen.say(f"{good} of {len(results)} acts ended as told, in {seconds:.0f} s", "good" if report["ok"] else "bad")
    if status:
        screen.gap()
        screen.say("What `ota-agent status` said on the device at the end:")
        for line in status:
            screen.command(line)
    return report


def _reported(result: Result) -> dict[str, object]:
    return {
        "act": result.act,
        "title": result.title,
        "expected": result.expected,
        "seen": result.seen,
        "ok": result.ok,
        "seconds": round(result.seconds, 3),
    }


def _unplayed(act: Act) -> Result:
    return Result(act.number, act.title, act.expected, "not played", ok=False, seconds=0.0)


def _try_it(screen: Screen, directory: Path) -> None:
    screen.gap()
    screen.say("See for yourself what is left:")
    if tools.find("fw_printenv"):
        screen.command(f"fw_printenv -c {directory / 'fw_env.config'}")
    screen.command(f"less {directory / 'log'}/boot-*.log")
    screen.command(f"cat {directory / 'report.json'}")


@contextlib.contextmanager
def _folder(chosen: Path | None, *, keep: bool) -> Iterator[Path]:
    if chosen is not None:
        yield chosen.absolute()
        return
    made = Path(tempfile.mkdtemp(prefix="ota-agent-demo-"))
    try:
        yield made
    finally:
        if not keep:
            shutil.rmtree(made, ignore_errors=True)


def _drop_large(directory: Path) -> None:
    for name in ("bundles", "images", "slots"):
        shutil.rmtree(directory / name, ignore_errors=True)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demo as Ctrl-C does: with everything cleaned up."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    # Under nohup(1) a hangup is ignored, and stays so.
    numbers = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
