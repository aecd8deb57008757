"""Runs the development server by hand: ``python -m agent.demo.server``."""

from __future__ import annotations

import argparse
import secrets
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from agent.demo.server import BANNER, DevServer
from agent.demo.server_tls import make_tls


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m agent.demo.server", description=BANNER)
    parser.add_argument("--listen", default="127.0.0.1:8443", metavar="ADDRESS:PORT", help="default %(default)s")
    parser.add_argument("--plain", action="store_true", help="HTTP without TLS")
    parser.add_argument("--tls", type=Path, default=Path("devserver-tls"), metavar="DIR", help="made if needed")
    parser.add_argument("--name", action="append", default=[], help="another host name for the certificate")
    parser.add_argument("--gateway-token", default="", help="accept any device that has this token")
    parser.add_argument(
        "--target", action="append", default=[], metavar="ID=TOKEN", help="a device to know from the start"
    )
    parser.add_argument("--sleep", default="00:00:05", metavar="HH:MM:SS", help="polling interval, default %(default)s")
    parser.add_argument("--password", default="", help="of the operator admin; a random one is printed otherwise")
    options = parser.parse_args(argv)
    host, _, port = options.listen.rpartition(":")
    if not host or not port.isdigit():
        parser.error("--listen needs ADDRESS:PORT")
    password = options.password or secrets.token_urlsafe(12)
    tls = None
    if not options.plain:
        names = [*options.name, "localhost", "127.0.0.1", host]
        tls = make_tls(options.tls, tuple(dict.fromkeys(names)))
    server = DevServer(
        (host, int(port)),
        tls.cert if tls else None,
        tls.key if tls else None,
        gateway_token=options.gateway_token,
        sleep=options.sleep,
        password=password,
    )
    for target in options.target:
        name, _, token = target.partition("=")
        server.add_target(name, token)
    print(f"*** {BANNER} ***")
    print(f"devices poll   {server.controller_url('<controllerId>')}")
    print(f"operators use  curl -u admin:{password} {server.url}/rest/v1/targets")
    if tls:
        print(f"authority      {tls.ca}")
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    signal.signal(signal.SIGINT, lambda *_: done.set())
    with server:
        done.wait()
    return 0
