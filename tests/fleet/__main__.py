"""``python -m fleet``: the rollouts and the kills against a server that runs, or against the development server.

The last line is ``fleet: N cases, violations: M, seconds: S``; the exit status is 1 when there is a violation.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hawkbit.features import features_of
from support.management import Management

from fleet import operator, stages
from fleet.device import surroundings
from fleet.kills import prove
from fleet.paths import PATHS
from fleet.rollouts import GATEWAY
from fleet.server import Place, development, place
from fleet.strikes import KINDS
from fleet.test_rollouts import MORE, STORIES

RUNNING = "running"


@contextmanager
def _chosen(url: str, login: str, version: str, directory: Path) -> Iterator[Place]:
    if not url:
        with development(directory) as instance, place(instance, directory) as found:
            yield found
        return
    user, _, password = login.partition(":")
    management = Management(url, user, password)
    operator.accept_tokens(management, GATEWAY)
    with surroundings():
        of_rest = "group-percent-of-all" not in features_of("hawkbit-new", version)
        yield Place(RUNNING, url.rstrip("/"), management, directory, version, of_rest)


def _say(text: object) -> None:
    print(text, flush=True)  # noqa: T201  this is a program


def main(arguments: list[str] | None = None) -> int:
    """Plays what is named, everything without a name; returns the exit status."""
    stories, paths = {**STORIES, **MORE}, {path.name: path for path in PATHS}
    parser = argparse.ArgumentParser(prog="fleet")
    parser.add_argument(
        "--server", default="", help="address of a running hawkBit for tests; its configuration is changed"
    )
    parser.add_argument("--login", default="admin:admin", help="user:password of its operator")
    parser.add_argument(
        "--version", default="1.0.4", help="of hawkBit there; before 0.5.0 the shares of groups are other ones"
    )
    parser.add_argument("--rollouts", nargs="*", choices=sorted(stories), metavar="STORY", default=None)
    parser.add_argument("--kills", nargs="*", choices=sorted(paths), metavar="PATH", default=None)
    parser.add_argument("--blows", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args(arguments)
    everything = options.rollouts is None and options.kills is None
    cases, violations, began = 0, 0, time.monotonic()
    shelf = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="ota-fleet-", dir=shelf if shelf.is_dir() else None) as folder:
        for name in (options.rollouts or stories) if everything or options.rollouts is not None else ():
            (Path(folder) / name).mkdir()
            with (
                _chosen(options.server, options.login, options.version, Path(folder) / name) as server,
                server.fleet() as fleet,
            ):
                cases += fleet.size
                fleet.switch_on(stages.OLD)
                try:
                    _say(f"{name}: {stories[name](fleet)}")
                except AssertionError as error:
                    violations += 1
                    _say(f"{name}: {error}")
        for name in (options.kills or paths) if everything or options.kills is not None else ():
            (Path(folder) / f"kills-{name}").mkdir()
            with _chosen(options.server, options.login, options.version, Path(folder) / f"kills-{name}") as server:
                tally = prove(server.management, server.url, paths[name], server.directory, options.blows)
            cases, violations = cases + tally.cases, violations + len(tally.violations)
            _say("\n  ".join([str(tally), *tally.violations]))
    _say(f"fleet: {cases} cases, violations: {violations}, seconds: {time.monotonic() - began:.0f}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
