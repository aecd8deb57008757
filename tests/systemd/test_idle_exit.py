"""With system.idle-exit nothing of the agent is in memory between two polls, and nobody who calls notices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.nspawn.device import Device
from support.nspawn.machine import Machine

from agent.daemon.dbus_names import BUS_NAME, MANAGER, OBJECT_PATH

pytestmark = [pytest.mark.root, pytest.mark.slow]
UNIT, TIMER = "ota-agent.service", "ota-agent.timer"
READ = ("busctl", "--timeout=20", "get-property", BUS_NAME, OBJECT_PATH, MANAGER)


# The token is given to the fetcher by systemd; the daemon, which could read the file, does not know where it is.
SETTINGS = {"system.idle-exit": 0.4, "server.target-token-file": "credential:token"}
GIVEN = "[Service]\nLoadCredential=token:/etc/ota-agent/target.token\n"


@pytest.fixture(scope="module")
def device(room: Path, base: Path) -> Iterator[Device]:
    files = {"etc/systemd/system/ota-agent-fetch@.service.d/credentials.conf": GIVEN}
    with Device(room / "device-that-leaves", base, settings=SETTINGS, files=files, poll="00:00:03") as device:
        device.power_on()
        yield device


def gone(machine: Machine) -> bool:
    return machine.show(UNIT, "ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}


@pytest.mark.req("C15")
def test_a_credential_of_the_fetcher_is_what_the_server_is_shown(device: Device) -> None:
    first = device.wait_for(
        lambda: [seen.status for seen in device.server.requests("/controller/") if seen.status],
        "an answer to the first poll",
    )
    assert first[0] == 200


@pytest.mark.req("C15")
def test_it_is_gone_between_polls_and_answers_whoever_calls(device: Device) -> None:
    machine, polls = device.machine, lambda: len(device.server.requests("/controller/"))
    device.wait_for(lambda: gone(machine), "the daemon leaves")
    assert machine.show(TIMER, "ActiveState", "Transient") == {"ActiveState": "active", "Transient": "yes"}
    before = polls()
    device.wait_for(lambda: polls() > before, "the timer starts it for the next poll")
    device.wait_for(lambda: gone(machine), "it leaves again")
    before = polls()
    assert machine.run(*READ, "ServerState") == 's "ok"', "a new process knows it from the one before"
    assert machine.run(*READ, "State") == 's "idle"'
    assert polls() == before, "who only reads causes no poll"
    device.wait_for(lambda: gone(machine), "it leaves again")
    # One call after the other while it leaves and comes back: each has an answer.
    calls = 'failed=0; for n in $(seq 6); do sleep 0.$((n % 7)); "$@" >/dev/null || failed=$((failed+1)); done; echo $failed'
    assert machine.run("sh", "-c", calls, "sh", *READ, "State") == "0"
    device.wait_for(lambda: gone(machine), "it leaves again")
    before = polls()
    machine.run("ota-agent", "check")
    device.wait_for(lambda: polls() > before, "what was asked for by a cold call is done")
    assert machine.show(UNIT, "NRestarts") == {"NRestarts": "0"}
