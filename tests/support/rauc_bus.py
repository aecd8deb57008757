"""Debian's ``rauc`` as a client of whatever serves its interface on a bus, and its own service to compare with."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gi.repository import Gio, GLib

from support.bus import connect, private_bus

_CONF = """[system]
compatible={compatible}
bootloader=uboot
mountprefix={folder}/mnt
statusfile={folder}/rauc.status
[keyring]
path={keyring}
check-purpose=codesign
"""
_SLOT = "[slot.rootfs.{index}]\ndevice={device}\ntype=raw\nbootname={bootname}\n"


def rauc_at(address: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs ``rauc`` to its end; it calls the service on this bus."""
    return subprocess.run(
        ["rauc", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        env=_environment(address),
        timeout=60,
    )


def start_rauc_at(address: str, *arguments: object) -> subprocess.Popen[str]:
    """Starts it, for a test that has something to do meanwhile; standard error goes to standard output."""
    return subprocess.Popen(
        ["rauc", *map(str, arguments)], env=_environment(address), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@contextmanager
def rauc_service(
    folder: Path,
    slots: Mapping[str, Path],
    fw_env_config: Path,
    *,
    compatible: str,
    keyring: Path,
    booted: str = "A",
    more: str = "",
) -> Iterator[str]:
    """RAUC's own service on a bus of its own, which is yielded.

    Args:
        folder: for its configuration, its status file and its mounts.
        slots: files by boot name.
        fw_env_config: where the U-Boot environment is.
        compatible: of the device.
        keyring: whom it trusts.
        booted: the boot name of the slot that it takes for the running one.
        more: further sections of its configuration.
    """
    for name in ("bin", "mnt", "bus"):
        (folder / name).mkdir(parents=True)
    for tool in ("fw_printenv", "fw_setenv"):  # rauc 1.8 knows no option for their configuration
        script = folder / "bin" / tool
        script.write_text(f'#!/bin/sh\nexec /usr/bin/{tool} -c {fw_env_config} "$@"\n')
        script.chmod(0o755)
    sections = "".join(
        _SLOT.format(index=index, device=device, bootname=name) for index, (name, device) in enumerate(slots.items())
    )
    conf = folder / "system.conf"
    conf.write_text(_CONF.format(folder=folder, compatible=compatible, keyring=keyring) + sections + more)
    with private_bus(folder / "bus") as address:
        environment = _environment(address)
        environment["PATH"] = f"{folder / 'bin'}:{environment['PATH']}"
        argv = [
            "unshare",
            "-m",
            "rauc",
            "-c",
            str(conf),
            f"--mount={folder}/mnt",
            f"--override-boot-slot={booted}",
            "service",
        ]
        with (
            (folder / "service.log").open("wb") as log,
            subprocess.Popen(argv, env=environment, stdout=log, stderr=log) as service,
        ):
            try:
                wait_for_name(address)
                yield address
            finally:
                service.terminate()


def wait_for_name(address: str, name: str = "de.pengutronix.rauc", seconds: float = 20) -> None:
    """Returns when somebody on the bus has the name; AssertionError when nobody takes it."""
    connection, end = connect(address), time.monotonic() + seconds
    bus = "org.freedesktop.DBus"
    asked = ("/org/freedesktop/DBus", bus, "NameHasOwner", GLib.Variant("(s)", (name,)), None)
    while not connection.call_sync(bus, *asked, Gio.DBusCallFlags.NONE, 5000, None).unpack()[0]:
        assert time.monotonic() < end, f"nobody has taken {name}"
        time.sleep(0.02)
    connection.close_sync(None)


def _environment(address: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "DBUS_STARTER_BUS_TYPE": "session",
        "DBUS_SESSION_BUS_ADDRESS": address,
    }  # fmt: skip
