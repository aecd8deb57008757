"""Only what is configured is checked, and each setting of ``[health]`` has its check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.bus.calls import Bus
from agent.config import Config, load
from agent.health import choose as choosing
from agent.health.choose import choose

DEVICE = """
[system]
compatible = "demo"
[keyring]
path = "ca.pem"
[bootloader]
type = "noop"
[slot.rootfs.0]
device = "/dev/a"
bootname = "A"
[slot.rootfs.1]
device = "/dev/b"
bootname = "B"
[health]
"""


class Nobody:
    """Asks nothing."""

    def get(self, url: str) -> int:
        raise NotImplementedError

    def connect(self, host: str, port: int) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def config(tmp_path: Path, health: str = "") -> Config:
    file = tmp_path / "device.toml"
    file.write_text(DEVICE + health)
    return load([file])


def names(config: Config, contact: Any = None) -> tuple[str, ...]:
    return choose(config, Bus("none"), Nobody(), contact).names


@pytest.fixture(autouse=True)
def no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_BOOTED_BY_SYSTEMD", "/nonexistent")


@pytest.mark.req("T28")
def test_without_settings_only_the_server_is_asked_and_only_for_its_own_updates(tmp_path):
    assert names(config(tmp_path), lambda: None) == ("server",)
    assert names(config(tmp_path)) == (), "an update from a file must not need the network"
    assert names(config(tmp_path, "server = false"), lambda: None) == ()


@pytest.mark.req("S07")
def test_under_systemd_the_state_and_the_completed_boot_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(choosing, "_BOOTED_BY_SYSTEMD", "/")
    assert names(config(tmp_path)) == ("system", "boot-complete")
    assert names(config(tmp_path, "boot-complete = false")) == ("system",)


def test_each_setting_makes_its_checks_in_a_stable_order(tmp_path):
    (tmp_path / "health.d").mkdir(mode=0o755)
    program = tmp_path / "health.d" / "10-app"
    program.touch()
    found = names(
        config(
            tmp_path,
            """units = ["a.service"]
dbus-names = ["com.example.App"]
mounts = ["/data"]
free-space = "1M"
watchdog = "/dev/watchdog0"
commands = [["/bin/x", "1"]]
directory = "health.d"
tcp = ["[::1]:80", "localhost:22"]
urls = ["http://127.0.0.1:8080/health"]
""",
        ),
        lambda: None,
    )
    assert found == (
        "units", "dbus com.example.App", "mount /data", "space /var/lib/ota-agent", "space /data", "watchdog",
        "command x", "directory", "health.d/10-app", "tcp [::1]:80", "tcp localhost:22",
        "url http://127.0.0.1:8080/health", "server",
    )  # fmt: skip


@pytest.mark.parametrize(
    "setting",
    [
        'dbus-names = ["app"]', 'dbus-names = ["com.1example"]', 'dbus-names = [":1.2"]', 'urls = ["ftp://h/"]',
        'urls = ["https://user:pass@h/"]', 'urls = ["https:///x"]', 'urls = ["https://h/ "]', 'urls = ["https://h:0/"]',
        'tcp = ["localhost"]', 'tcp = ["localhost:0"]', 'tcp = ["localhost:65536"]', 'tcp = ["a b:1"]',
        'tcp = ["h:1", "h:1"]', "mounts = [1]", 'mounts = ["a\\u0000"]', "retries = -1", 'pstore = "x"',
    ],
)  # fmt: skip
def test_values_that_make_no_sense_are_refused(tmp_path, setting):
    with pytest.raises(Exception, match=r"config\.invalid"):
        config(tmp_path, setting)


def test_where_a_failed_boot_leaves_traces_is_known_without_settings(tmp_path):
    health = config(tmp_path).health
    assert health.pstore == (Path("/sys/fs/pstore"), Path("/var/lib/systemd/pstore"))
    assert health.bootstatus == Path("/sys/class/watchdog")
    assert health.directory == Path("/etc/ota-agent/health.d")
    assert config(tmp_path, 'bootstatus = ""\ndirectory = ""').health.bootstatus is None
