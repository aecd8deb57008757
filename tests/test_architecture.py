"""What holds for the whole tree: rooms, sizes, names, and tables that match the code."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agent.codes import CODES
from agent.config_table import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path for top in ("agent", "slots", "bootloader_env", "tests", "tools") for path in (ROOT / top).rglob("*.py")
)
# Literals that look like error codes and are none: modules, file names, kernel parameters, names on buses.
NOT_CODES = {
    "agent.dbus", "agent.frugal", "agent.health", "backports.zstd", "bundle.build", "bundle.compatible", "bundle.description",
    "bundle.hash", "bundle.version", "ca.key", "ca.pem", "compression.zstd",
    "example.org", "fsck.vfat", "gateway.token", "importlib.metadata", "installed.timestamp",
    "installed.transaction", "loader.conf", "lz4.block", "manifest.raucm", "mkfs.ext4",
    "mkfs.ubifs", "mkfs.vfat", "notice.json", "ota-agent.toml", "ota.slot", "pydbus.registration", "rauc.external", "rauc.slot",
    "recipient.key",
    "recipient.pem", "root.pem", "scrubbed.result", "scrubbed.timestamp", "security.selinux", "server.attributes",
    "signer.key", "signer.pem", "target.token",
}  # fmt: skip


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_the_rooms_import_only_downwards() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def modules_after(imports: str) -> set[str]:
    program = f"import {imports}, sys; print(' '.join(sys.modules))"
    return set(
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    )


def test_an_idle_daemon_carries_nothing_of_updates() -> None:
    loaded = modules_after("agent.daemon.main, agent.daemon.dbus_service, agent.journal")
    assert not {f"agent.daemon.activities.{name}" for name in ("life", "stage", "switch", "report")} & loaded
    assert not {"agent.codes", "agent.media", "pyudev", "zoneinfo"} & loaded


@pytest.mark.req("C15")
def test_the_daemon_loads_neither_the_network_nor_cryptography() -> None:
    loaded = modules_after("agent.daemon.main, agent.daemon.dbus_service, agent.journal")
    heavy = {
        "requests",
        "urllib3",
        "ssl",
        "cryptography",
        "asn1crypto",
        "hashlib",
        "tomllib",
        "argparse",
        "asyncio",
        "pyudev",
    }
    assert not loaded & heavy


@pytest.mark.req("C15")
def test_the_facade_of_rauc_loads_no_bundle_code_and_nothing_heavy() -> None:
    loaded = modules_after("agent.rauc.main, agent.journal")
    heavy = {
        "requests",
        "ssl",
        "cryptography",
        "asn1crypto",
        "tomllib",
        "argparse",
        "subprocess",
        "slots",
        "bootloader_env",
    }
    assert not loaded & heavy
    assert not [name for name in loaded if name.startswith(("agent.bundle", "agent.config", "agent.installer"))]


@pytest.mark.req("C15")
def test_the_installer_loads_no_network_code_and_no_bus() -> None:
    assert not modules_after("agent.installer.main") & {"requests", "urllib3", "ssl", "gi", "pydbus"}


@pytest.mark.req("C15")
def test_the_fetcher_loads_no_bundle_code_and_no_bus() -> None:
    loaded = modules_after("agent.fetcher.main")
    assert not {name for name in loaded if name.startswith("agent.bundle") and name != "agent.bundle.source"} - {
        "agent.bundle"
    }
    assert not loaded & {"gi", "pydbus", "slots", "bootloader_env"}


def test_the_host_tool_needs_nothing_of_a_device() -> None:
    loaded = modules_after("agent.bundler.cli")
    assert not loaded & {"gi", "pydbus", "systemd", "pyudev", "requests", "slots", "bootloader_env"}


def test_the_units_folder_never_hides_systemd_python() -> None:
    assert not (ROOT / "systemd" / "__init__.py").exists()


def test_every_error_code_is_in_the_table_and_the_table_holds_no_other() -> None:
    sys.path.insert(0, str(ROOT / "tools"))
    from list_codes import codes_in

    assert set(codes_in(ROOT)) - NOT_CODES == set(CODES)


def test_numbers_of_error_codes_are_unique() -> None:
    numbers = [number for number, _ in CODES.values()]
    assert len(set(numbers)) == len(numbers)


def test_generated_pages_are_up_to_date() -> None:
    subprocess.run([sys.executable, "tools/gen_docs.py", "--check"], cwd=ROOT, check=True)


def test_the_version_is_the_same_everywhere() -> None:
    import agent

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == agent.__version__


def test_the_wheel_holds_every_module_but_the_demo_and_nothing_else(tmp_path: Path) -> None:
    from zipfile import ZipFile

    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        str(path.relative_to(ROOT))
        for top in ("agent", "slots", "bootloader_env")
        for path in (ROOT / top).rglob("*.py")
        if ROOT / "agent" / "demo" not in path.parents
    }
    assert {name for name in packed if name.endswith(".py")} == expected
    assert packed - expected == {
        *(f"{top}/py.typed" for top in ("agent", "slots", "bootloader_env")),
        *(f"bootloader_env/scripts/{name}" for name in ("boot.cmd", "grub.cfg")),
        "agent/bus/org.otaagent.Agent1.xml",
    }


def test_the_source_distribution_can_be_built_and_tested(tmp_path: Path) -> None:
    import tarfile

    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    tops = ("agent", "slots", "bootloader_env", "systemd", "tests", "tools")
    files = [path for top in tops for path in (ROOT / top).rglob("*") if path.is_file()]
    expected = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    assert expected - names == set()


LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.req("S10", "C10")
def test_nothing_that_is_shipped_can_switch_the_verification_of_servers_off() -> None:
    """No mode without it, no option that would need one, no look at a variable that could ask for one."""
    forbidden = re.compile(
        r"CERT_NONE|CERT_OPTIONAL|check_hostname\s*=\s*False|verify\s*=\s*False|_create_unverified_context"
        r"|disable_warnings|assert_hostname|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|insecure[-_](tls|ssl)|trust_env\s*=\s*True"
    )
    shipped = [path for path in SOURCES if path.is_relative_to(ROOT / "agent") and "demo" not in path.parts]
    assert len(shipped) > 100
    found = {
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in shipped
        for line in path.read_text().splitlines()
        if forbidden.search(line)
    }
    assert found == set()
    assert [row.key for row in SETTINGS if re.search("verif|insecure|trust-all|hostname", row.key)] == []
