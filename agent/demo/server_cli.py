"""Runs the development server by hand: ``python -m agent.demo.server``."""

from __future__ import annotations

import argparse
import secrets
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from agent.demo.server import BANNER, DevServer
from agent.demo.server_tls import Authority, Tls, make_variants

_EPILOG = """
a first update, by hand (plain HTTP; what is printed at the start tells the real addresses):

  python -m agent.demo.server --plain --listen 127.0.0.1:8080 --insecure-admin --target dev1=secret
  API="curl -u admin:admin -H Content-Type:application/json http://127.0.0.1:8080/rest/v1"
  $API/softwaremodules -d '[{"name":"rootfs","version":"1","type":"os"}]'                    # answers with id 1
  curl -u admin:admin -F file=@update.raucb http://127.0.0.1:8080/rest/v1/softwaremodules/1/artifacts
  $API/distributionsets -d '[{"name":"fw","version":"1","type":"os","modules":[{"id":1}]}]'  # answers with id 3
  $API/distributionsets/3/assignedTargets -d '[{"id":"dev1","type":"forced"}]'
  $API/targets/dev1/actions                                                                  # how it goes

to make it misbehave: POST, GET and DELETE of /faults; the fields stand in agent/demo/server_faults.py:

  curl -u admin:admin http://127.0.0.1:8080/faults -d '{"path":"/dev1$","status":503,"times":3}'

Everything is in memory and gone when it ends.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until interrupted."""
    parser = _parser()
    options = parser.parse_args(argv)
    host, _, port = options.listen.rpartition(":")
    if not host or not port.isdigit():
        parser.error("--listen needs ADDRESS:PORT")
    if options.plain and (options.client_certs or options.certificate != "good"):
        parser.error("certificates need TLS, so not --plain")
    if options.client_certs_for and not options.client_certs:
        parser.error("--client-certs-for needs --client-certs")
    password = "admin" if options.insecure_admin else options.password or secrets.token_urlsafe(12)
    names = tuple(dict.fromkeys([*options.name, "localhost", "127.0.0.1", host]))
    variants: dict[str, Tls] = {} if options.plain else make_variants(options.tls, names)
    devices = Authority(options.tls / "devices") if options.client_certs else None
    tls = variants.get("good")
    server = DevServer(
        (host, int(port)),
        tls.cert if tls else None,
        tls.key if tls else None,
        gateway_token=options.gateway_token,
        sleep=options.sleep,
        tenant=options.tenant,
        password=password,
        client_ca=devices.ca if devices else None,
        client_certs=options.client_certs or "required",
        variants=variants,
    )
    for target in options.target:
        name, _, token = target.partition("=")
        server.add_target(name, token)
    print("*" * 78)
    print(f"*** {BANNER} ***")
    print("*" * 78)
    print(f"devices poll   {server.controller_url('<controllerId>')}")
    print(f"operators use  curl -u admin:{password} {server.url}/rest/v1/targets")
    if tls:
        print(f"authority      {tls.ca}")
    for name in options.client_certs_for:
        if devices is not None:
            shown = devices.for_device(name)
            print(f"certificate    {name}: {shown.cert} {shown.key}")
    if options.certificate != "good":
        server.present(options.certificate)
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    signal.signal(signal.SIGINT, lambda *_: done.set())
    with server:
        done.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m agent.demo.server",
        description=f"{BANNER}. It speaks hawkBit's DDI to devices and a part of its Management API to operators.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    listen = parser.add_argument_group("where it listens")
    listen.add_argument("--listen", default="127.0.0.1:8443", metavar="ADDRESS:PORT", help="default %(default)s")
    listen.add_argument("--plain", action="store_true", help="HTTP without TLS")
    listen.add_argument("--tls", type=Path, default=Path("devserver-tls"), metavar="DIR", help="made if needed")
    listen.add_argument("--name", action="append", default=[], help="another host name for the certificate")
    listen.add_argument(
        "--certificate",
        default="good",
        choices=("good", "expired", "not-yet-valid", "wrong-name", "untrusted", "old"),
        help="present a bad one, or speak only old versions of TLS",
    )
    devices = parser.add_argument_group("devices")
    devices.add_argument("--tenant", default="DEFAULT", help="default %(default)s")
    devices.add_argument("--gateway-token", default="", help="accept any device that has this token")
    devices.add_argument(
        "--target", action="append", default=[], metavar="ID=TOKEN", help="a device to know from the start"
    )
    devices.add_argument(
        "--client-certs",
        choices=("required", "optional"),
        help="devices show certificates; the controller id is the common name",
    )
    devices.add_argument(
        "--client-certs-for", action="append", default=[], metavar="ID", help="issue a certificate for this device"
    )
    devices.add_argument(
        "--sleep", default="00:00:05", metavar="HH:MM:SS", help="polling interval, default %(default)s"
    )
    operators = parser.add_argument_group("operators").add_mutually_exclusive_group()
    operators.add_argument("--password", default="", help="of the operator admin; a random one is printed otherwise")
    operators.add_argument("--insecure-admin", action="store_true", help="admin/admin, as a fresh hawkBit has it")
    return parser
