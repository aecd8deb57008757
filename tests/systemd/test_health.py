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
tcp = ["{endpoint}"]
urls = ["{url}/nothing-there"]
"""


@pytest.mark.req("S07")
def test_what_systemd_and_the_bus_say_is_what_the_checks_say(quiet: Device) -> None:
    extra = quiet.directory / "etc" / "health-extra.toml"
    endpoint = quiet.server.url.removeprefix("https://")
    extra.write_text(EXTRA.format(endpoint=endpoint, url=quiet.server.url))
    before = int(quiet.machine.show("ota-agent-fetch.socket", "NAccepted")["NAccepted"])
    try:
        files = [word for name in ("ota-agent", "health-extra") for word in ("--config", f"/etc/ota-agent/{name}.toml")]
        done = quiet.machine.ask("ota-agent", "health", "--json", *files)
    finally:
        extra.unlink()
    values = json.loads(done.stdout)
    found = {check["name"]: (check["ok"], check["text"]) for check in values["checks"]}
    assert found.pop("dbus com.example.Gone") == (False, "nobody owns the name")
    assert found.pop(f"url {quiet.server.url}/nothing-there") == (False, "HTTP status 404")
    green = {
        "system", "units", "boot-complete", "dbus org.otaagent.Agent1", "mount /var/lib/ota-agent",
        "space /var/lib/ota-agent", f"tcp {endpoint}", "server",
    }  # fmt: skip
    assert green <= found.keys()
    assert all(found[name][0] for name in green), values
    after = int(quiet.machine.show("ota-agent-fetch.socket", "NAccepted")["NAccepted"])
    assert after - before == 2, "one conversation for the network checks, and one with the server"
    assert values["healthy"] is False
