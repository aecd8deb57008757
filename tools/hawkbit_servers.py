"""``make test-hawkbit``: gets real servers, once, and asks each what ``tests/hawkbit`` promises.

What cannot be had here is said in one line with the reason; the result is an error only when a server of ``HAWKBIT_REQUIRE``
(by default the development server and at least one hawkBit) was not asked, or when a test failed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / "build" / "hawkbit"
GOOSEBIT = ROOT / "build" / "goosebit"
KINDS = ("hawkbit-old", "hawkbit-new", "goosebit", "development")
NEW = ("1.1.0", "1.0.4")


class Missing(Exception):
    """This server cannot be had; the message says why."""


def main() -> int:
    """Prepares, runs, sums up."""
    missing: dict[str, str] = {}
    for kind in KINDS:
        try:
            _PREPARE[kind]()
        except Missing as why:
            missing[kind] = str(why)
    kinds = [kind for kind in KINDS if kind not in missing]
    with ThreadPoolExecutor(2) as pool:  # each has a process of its own: the tenant's settings are shared by its tests
        results = dict(zip(kinds, pool.map(_ask, kinds), strict=True))
    for kind in KINDS:
        print(f"{kind}: {results[kind][1] if kind in results else f'not asked: {missing[kind]}'}")
    required = [name for name in os.environ.get("HAWKBIT_REQUIRE", "").split(",") if name]
    lacking = [name for name in required or ["development"] if name not in results]
    if not required and not {"hawkbit-old", "hawkbit-new"} & set(results):
        lacking.append("a real hawkBit")
    if lacking:
        print(f"test-hawkbit: not asked, but required: {', '.join(lacking)}")
    return 1 if lacking or any(status for status, _ in results.values()) else 0


def _ask(kind: str) -> tuple[int, str]:
    """Runs the tests for one server; returns pytest's status and its last line."""
    folders = ["tests/hawkbit", *(["tests/fleet"] if kind.startswith("hawkbit-") and _fleet() else [])]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "hawkbit", *folders],
        cwd=ROOT,
        env={**os.environ, "HAWKBIT_SERVERS": kind},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout + done.stderr)
    lines = done.stdout.strip().splitlines()
    said = [line for line in lines if line.startswith(f"{kind} ")]
    version = f"{said[-1].split(':')[0].removeprefix(kind).strip()}, " if said else ""
    return done.returncode, version + (lines[-1].strip("= ") if lines else "no answer")


def _fleet() -> bool:
    return any("mark.hawkbit" in path.read_text() for path in (ROOT / "tests" / "fleet").glob("*.py"))


def _given(which: str) -> bool:
    return bool(os.environ.get(f"HAWKBIT_URL_{which}") or os.environ.get(f"HAWKBIT_JAR_{which}"))


def _maven(*arguments: str) -> None:
    if shutil.which("mvn") is None:
        _install("maven", "openjdk-17-jdk-headless")
    done = subprocess.run(["mvn", "-B", "-q", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
        found = re.search(r"Could not find artifact (\S+)|(\S+) was not found in", text)
        raise Missing(f"Maven does not serve {found[1] or found[2]}" if found else text.strip()[:200] or "Maven failed")


def _install(*packages: str) -> None:
    """Debian packages that only these tests need."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Missing(f"please install: {' '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "-q", "update"],
        ["apt-get", "-q", "-y", "install", "--no-install-recommends", *packages],
    ):
        if subprocess.run(command, env=environment, capture_output=True, check=False).returncode:
            raise Missing(f"{' '.join(packages)} cannot be installed")


def _prepare_old() -> None:
    """hawkBit's libraries, and the class that starts them."""
    source, target = ROOT / "tests" / "hawkbit" / "server", BUILT / "old"
    stamp = target / "ready"
    want = "".join(path.read_text() for path in sorted(source.rglob("*")) if path.is_file())
    if _given("OLD") or (stamp.exists() and stamp.read_text() == want):
        return
    print("setup: hawkBit's libraries (once)")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    build = BUILT / "build-old"
    shutil.copytree(source, build, dirs_exist_ok=True)
    _maven(
        "-f", str(build / "pom.xml"), "compile", "dependency:copy-dependencies", f"-DoutputDirectory={target / 'lib'}"
    )
    shutil.copytree(build / "target" / "classes", target / "classes")
    shutil.rmtree(build)
    stamp.write_text(want)


def _prepare_new() -> None:
    """hawkBit's executable jar, the newest that is served."""
    if _given("NEW") or list(BUILT.glob("hawkbit-update-server-*.jar")):
        return
    reasons = []
    for version in NEW:
        try:
            _maven(
                "dependency:copy",
                f"-Dartifact=org.eclipse.hawkbit:hawkbit-update-server:{version}",
                f"-DoutputDirectory={BUILT}",
            )
        except Missing as why:
            reasons.append(f"{version}: {why}")
        else:
            return
    raise Missing("; ".join(reasons))


def _prepare_goosebit() -> None:
    """goosebit in a Python of its own: what it needs would not go together with what our tests need."""
    wanted = ROOT / "tests" / "hawkbit" / "goosebit.txt"
    stamp = GOOSEBIT / "ready"
    if stamp.exists() and stamp.read_text() == wanted.read_text():
        return
    print("setup: goosebit (once)")
    shutil.rmtree(GOOSEBIT, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", str(GOOSEBIT)],
        [
            str(GOOSEBIT / "bin" / "python"),
            "-m",
            "pip",
            "-q",
            "--disable-pip-version-check",
            "install",
            "-r",
            str(wanted),
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("ERROR")]
            raise Missing(lines[0][:200] if lines else "its Python could not be made")
    stamp.write_text(wanted.read_text())


_PREPARE = {
    "development": lambda: None,
    "hawkbit-old": _prepare_old,
    "hawkbit-new": _prepare_new,
    "goosebit": _prepare_goosebit,
}

if __name__ == "__main__":
    raise SystemExit(main())
