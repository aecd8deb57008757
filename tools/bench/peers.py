"""Memory of other update agents that wait for their next poll, beside ours: from Debian, or where they are on this machine."""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agent.bundler.keygen import make_pki

_SETTLE = 6.0  # seconds: mender has given up its first check by then
_RAUC = """[system]
compatible=demo-board
bootloader=noop
mountprefix={folder}/mnt
statusfile={folder}/rauc.status
[keyring]
path={keyring}
[slot.rootfs.0]
device={folder}/a
bootname=A
[slot.rootfs.1]
device={folder}/b
bootname=B
"""
_UPDATER = """[client]
hawkbit_server = {server}
ssl = false
tenant_id = DEFAULT
target_name = bench
auth_token = {token}
bundle_download_location = {folder}/bundle.raucb
[device]
product = bench
"""


def measure(build: Path, server: str, token: str, keyring: Path) -> dict[str, dict[str, float]]:
    """Starts each that can be had on a message bus of its own; returns ``Rss`` and ``Pss`` in MiB by name.

    Args:
        build: for what is fetched, and for files of the programs.
        server: host and port of a server that speaks DDI over HTTP and lets the target ``bench`` in.
        token: of that target.
        keyring: PEM file.
    """
    folder = build / "peers"
    (folder / "mnt").mkdir(parents=True, exist_ok=True)
    for name in ("a", "b"):
        (folder / name).write_bytes(bytes(4096))
    (folder / "rauc.conf").write_text(_RAUC.format(folder=folder, keyring=keyring))
    (folder / "updater.conf").write_text(_UPDATER.format(folder=folder, server=server, token=token))
    found: dict[str, dict[str, float]] = {}
    for name, command in _commands(folder).items():
        with _bus() as environment:
            try:
                found[name] = _sizes(command, environment, folder / f"{name.split()[0]}.log")
            except OSError as error:
                print(f"{name}: not measured: {error}")
    return found


def keyring(build: Path) -> Path:
    """A PEM file that a program can trust."""
    folder = build / "pki"
    if not (folder / "root.pem").exists():
        make_pki(folder, now=datetime.datetime.now(datetime.UTC))
    return folder / "root.pem"


def _commands(folder: Path) -> Mapping[str, list[str]]:
    commands = {
        "rauc 1.8 service": ["rauc", "-c", str(folder / "rauc.conf"), f"--mount={folder / 'mnt'}",
                             "--override-boot-slot=A", "service"],
    }  # fmt: skip
    updater = os.environ.get("RAUC_HAWKBIT_UPDATER") or shutil.which("rauc-hawkbit-updater")
    if updater:
        commands["rauc-hawkbit-updater"] = [updater, "-c", str(folder / "updater.conf")]
    else:
        print("rauc-hawkbit-updater: not measured: not in Debian 12, and RAUC_HAWKBIT_UPDATER names none")
    if mender := _mender(folder):
        config = folder / "mender.conf"
        config.write_text(json.dumps({"ServerURL": "https://127.0.0.1:9", "UpdatePollIntervalSeconds": 1800}))
        data = folder / "mender"
        data.mkdir(exist_ok=True)
        commands["mender-client 3.4"] = [
            str(mender), "--no-syslog", "-c", str(config), "-b", str(config), "-d", str(data), "daemon",
        ]  # fmt: skip
    return commands


def _mender(folder: Path) -> Path | None:
    program = folder / "mender-client" / "usr" / "bin" / "mender"
    if not program.exists():
        done = subprocess.run(
            ["apt-get", "-q", "download", "mender-client"], cwd=folder, capture_output=True, check=False
        )
        packages = sorted(folder.glob("mender-client_3.4*.deb"))
        if done.returncode or not packages:
            print("mender-client: not measured: this Debian has no version 3.4 of it")
            return None
        subprocess.run(["dpkg-deb", "-x", packages[0], folder / "mender-client"], check=True)
    return program


def _sizes(command: list[str], environment: Mapping[str, str], log: Path) -> dict[str, float]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        time.sleep(_SETTLE)
        if process.poll() is not None:
            raise OSError(f"it ended with status {process.returncode}, see {log}")
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    finally:
        process.terminate()
        process.wait(30)
    return {name: int(kib) / 1024 for name, kib in re.findall(r"^(Rss|Pss):\s+(\d+) kB", rollup, re.M)}


@contextmanager
def _bus() -> Iterator[dict[str, str]]:
    """A private bus that is both the system's and the session's."""
    bus = subprocess.Popen(
        ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert bus.stdout
    address = bus.stdout.readline().strip()
    try:
        yield {
            **os.environ, "DBUS_SESSION_BUS_ADDRESS": address, "DBUS_SYSTEM_BUS_ADDRESS": address,
            "DBUS_STARTER_BUS_TYPE": "session",  # by which rauc's service knows that it shall use the session bus
        }  # fmt: skip
    finally:
        bus.terminate()
        bus.wait(30)
        bus.stdout.close()
