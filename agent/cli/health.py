"""``ota-agent health``: runs the health checks of the configuration now, without the daemon and without consequences."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence

from agent.bus.calls import Bus
from agent.cli.output import Exit, say, say_json
from agent.config import Config, load
from agent.daemon.activated import Sockets
from agent.daemon.children import spawn
from agent.daemon.inbox import Inbox
from agent.daemon.network import Network, document
from agent.daemon.probing import Prober
from agent.daemon.session import Sessions
from agent.hawkbit import links
from agent.health.choose import choose
from agent.health.result import CheckResult

_NARROW, _WIDE = 12, 40  # characters of the column of names


def health(arguments: Namespace) -> int:
    """One round of all checks, that of the server included if there is one."""
    config = load(arguments.config)
    inbox, bus = Inbox(), Bus(config.system.bus)
    start = Sockets({"fetcher": config.fetcher.socket}, spawn)
    suite = choose(config, bus, Prober(start, config, inbox.await_one), _contact(config, start, inbox))
    width = min(_WIDE, max((len(name) for name in suite.names), default=_NARROW))
    took: list[float] = []
    began = time.monotonic()

    def seen(result: CheckResult) -> None:
        nonlocal began
        took.append(time.monotonic() - began)
        if not arguments.json:
            say(line(result, width))
        began = time.monotonic()

    try:
        results = suite.run_once(seen)
    finally:
        bus.close()
    healthy = all(result.ok for result in results)
    if arguments.json:
        say_json({"healthy": healthy, "checks": [*_told(results, took)]})
    else:
        say(_summary(results))
    return Exit.OK if healthy else Exit.FAILED


def line(result: CheckResult, width: int) -> str:
    """One result for a person; a terminal shows what is red in red."""
    word = "ok  " if result.ok else "FAIL"
    if sys.stdout.isatty():
        word = f"\x1b[{32 if result.ok else 31}m{word}\x1b[0m"  # ECMA-48: foreground green, red
    return f"{word}  {result.name:<{width}}  {result.text}".rstrip()


def _summary(results: Sequence[CheckResult]) -> str:
    failed = sum(not result.ok for result in results)
    if not results:
        return "nothing is checked: the configuration asks for no check"
    if failed:
        return f"not healthy: {failed} of {len(results)} checks failed; a new system would be reverted"
    return f"healthy: {len(results)} checks passed"


def _told(results: Sequence[CheckResult], took: Sequence[float]) -> list[dict[str, object]]:
    return [
        {"name": result.name, "ok": result.ok, "text": result.text, "seconds": round(seconds, 3)}
        for result, seconds in zip(results, took, strict=True)
    ]


def _contact(config: Config, start: Sockets, inbox: Inbox) -> Callable[[], None] | None:
    server = config.server
    if not server.url:
        return None
    sessions = Sessions(config, time.time, fetcher_has=lambda: start.activated("fetcher"))
    network = Network(start, sessions, inbox.await_one)
    base = links.controller_base(server.url, server.tenant, server.controller_id)

    def contact() -> None:
        with network.conversation() as talk:
            document(talk.request("GET", base))

    return contact
