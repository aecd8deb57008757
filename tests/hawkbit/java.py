"""hawkBit itself as a process: from a jar, from libraries, or one that runs somewhere already."""

from __future__ import annotations

import os
import re
import shutil
import socket
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hawkbit.process import served

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "build" / "hawkbit"
OLD = "0.3.0M7"
# Spring 5.2 and EclipseLink 2.7 are older than the walls inside of Java.
OPENED = [
    f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("io", "lang", "lang.reflect", "net", "text", "util")
]
# It is to be there soon, not to be fast for days.
FLAGS = ["-Xmx512m", "-XX:MaxMetaspaceSize=320m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
PROPERTIES = {
    "server.address": "127.0.0.1",
    "hawkbit.controller.minPollingTime": "00:00:01",
    "hawkbit.rollout.scheduler.fixedDelay": "500",
    "hawkbit.server.repository.eagerPollPersistence": "true",
}
PROPERTIES_OLD = {
    "spring.security.user.name": "admin",
    "spring.security.user.password": "{noop}admin",
    "spring.main.allow-bean-definition-overriding": "true",
    "hawkbit.dmf.rabbitmq.enabled": "false",
    "hawkbit.server.repository.publish-target-poll-event": "false",
}
START = 300  # seconds; 25 on a quiet machine


@dataclass(frozen=True, slots=True)
class Program:
    """How hawkBit is started, and which version it is."""

    version: str
    command: Sequence[str]
    properties: Mapping[str, str]


class Unavailable(Exception):
    """There is no such server on this machine; the message says why."""


def find(kind: str, environ: Mapping[str, str] = os.environ) -> Program:
    """The program of ``hawkbit-old`` or ``hawkbit-new``.

    ``HAWKBIT_JAR_OLD`` and ``HAWKBIT_JAR_NEW`` name executable jars, ``HAWKBIT_JAVA_OLD`` and ``HAWKBIT_JAVA_NEW`` the Java to
    run them. Without them it is what ``make test-hawkbit`` has put into ``build/hawkbit``.

    Raises:
        Unavailable: with the reason.
    """
    which = kind.removeprefix("hawkbit-").upper()
    if jar := environ.get(f"HAWKBIT_JAR_{which}"):
        return _jar(Path(jar), environ.get(f"HAWKBIT_JAVA_{which}", ""))
    if kind == "hawkbit-old":
        old = BUILT / "old"
        if not (old / "classes").is_dir():
            raise Unavailable("build/hawkbit/old is missing: make test-hawkbit makes it")
        java = environ.get("HAWKBIT_JAVA_OLD", "") or _java(17)
        return Program(
            OLD, [java, *FLAGS, *OPENED, "-cp", f"{old}/classes:{old}/lib/*", "hawkbitold.Server"], PROPERTIES_OLD
        )
    jars = sorted(BUILT.glob("hawkbit-update-server-*.jar"))
    if not jars:
        raise Unavailable("no jar of hawkBit in build/hawkbit, and HAWKBIT_JAR_NEW is not set")
    return _jar(jars[-1], environ.get("HAWKBIT_JAVA_NEW", ""))


def _jar(path: Path, java: str) -> Program:
    found = re.search(r"(\d+\.\d+\.\d+(?:M\d+)?)\.jar", path.name)
    if found is None:
        raise Unavailable(f"the name of {path} does not end with a version of hawkBit")
    if not path.is_file():
        raise Unavailable(f"{path} is missing")
    with zipfile.ZipFile(path) as packed:
        manifest = packed.read("META-INF/MANIFEST.MF").decode()
    level = re.search(r"Build-Jdk-Spec: (\d+)", manifest)
    return Program(found[1], [java or _java(int(level[1]) if level else 17), *FLAGS, "-jar", str(path)], {})


def _java(least: int) -> str:
    """The oldest Java that is new enough: what a server of that time was tested with."""
    homes = [Path(each) for each in (os.environ.get("JAVA_HOME"),) if each] + sorted(Path("/usr/lib/jvm").glob("*"))
    found = {}
    for home in homes:
        release = home / "release"
        if (home / "bin" / "java").exists() and release.exists():
            version = re.search(r'JAVA_VERSION="(\d+)', release.read_text())
            if version and int(version[1]) >= least:
                found[int(version[1])] = str(home / "bin" / "java")
    if found:
        return found[min(found)]
    if least <= 17 and (java := shutil.which("java")):
        return java
    raise Unavailable(f"no Java {least} or newer in /usr/lib/jvm")


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_java(program: Program, directory: Path, properties: Mapping[str, str] | None = None) -> Iterator[str]:
    """Runs hawkBit in a folder, with its database in memory; yields the address.

    Raises:
        AssertionError: it ends, or does not answer in time.
    """
    port = free_port()
    settings = {**PROPERTIES, **program.properties, **(properties or {}), "server.port": str(port)}
    url = f"http://127.0.0.1:{port}"
    command = [*program.command, *(f"--{key}={value}" for key, value in settings.items())]
    with served(command, directory, f"{url}/rest/v1/targets", patience=START, login=("admin", "admin")):
        yield url
