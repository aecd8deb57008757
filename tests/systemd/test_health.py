"""The health checks of a device with a real service manager, a real bus and the agent's own units."""

from __future__ import annotations

import json

import pytest
from support.nspawn.device import Device

pytestmark = [pytest.mark.root, pytest.mark.slow]
EXTRA = """
[health]
units = ["dbus.service"]
dbus-names = ["org.otaagent.Agent1", "com.example.Gone"]
mounts = ["/var/lib/ota-agent"]
free-space = "4K"
"""


@pytest.mark.req("S07")
def test_what_systemd_and_the_bus_say_is_what_the_checks_say(quiet: Device) -> None:
    extra = quiet.directory / "etc" / "health-extra.toml"
    extra.write_text(EXTRA)
    try:
        files = [word for name in ("ota-agent", "health-extra") for word in ("--config", f"/etc/ota-agent/{name}.toml")]
        done = quiet.machine.ask("ota-agent", "health", "--json", *files)
    finally:
        extra.unlink()
    values = json.loads(done.stdout)
    found = {check["name"]: (check["ok"], check["text"]) for check in values["checks"]}
    assert found.pop("dbus com.example.Gone") == (False, "nobody owns the name")
    for name in ("system", "units", "boot-complete", "dbus org.otaagent.Agent1", "mount /var/lib/ota-agent", "server"):
        assert found.pop(name)[0], (name, values)
    assert values["healthy"] is False
