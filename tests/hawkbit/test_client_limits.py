"""Our own device where a server sets limits: a maintenance window, and a quota that is used up."""

from __future__ import annotations

import time

import pytest
from fleet.device import Device
from fleet.systems import GOOD, SICK, System, system_in
from support.management import until

from agent.daemon.machine import State
from hawkbit.bench import NEW, Bench
from hawkbit.lab import window

AHEAD = 10  # seconds; a device is waiting after two, or five on a busy machine


@pytest.mark.req("S09")
def test_an_update_waits_for_its_window_and_is_installed_in_it(bench: Bench) -> None:
    written: list[System | None] = []

    def wait_for_the_window(device: Device, action: int) -> None:
        waits, by_hand = device.waits, bench.lab.known(device.controller_id)

        def waited() -> None:
            waits()
            if device.state is State.WAITING and not written:  # it has read that the window is closed
                written.append(system_in(device.board.slots["B"]))
                until(
                    "the window opens",
                    lambda: by_hand.document(action)["deployment"]["maintenanceWindow"] == "available",
                )

        device.waits = waited  # type: ignore[method-assign]

    run = bench.update(
        at=State.OFFERED, act=wait_for_the_window, maintenanceWindow=window(time.time() + AHEAD, "01:00:00")
    )
    assert written == [None]
    assert "waiting for the maintenance window" in run.texts
    assert (run.running, run.kinds[-1]) == (NEW, "finished")


def use_up(bench: Bench, device: Device, action: int) -> None:
    """Another client with the device's token has said all that the server takes."""
    by_hand = bench.lab.known(device.controller_id)
    while by_hand.say(action, "proceeding") == 200:
        pass


@pytest.mark.feature("management", "final-beyond-quota")
@pytest.mark.parametrize(("health", "last"), [(GOOD, "finished"), (SICK, "error")])
def test_how_an_update_ends_is_heard_beyond_the_quota(bench: Bench, health: str, last: str) -> None:
    run = bench.update(health, at=State.STAGING, act=lambda device, action: use_up(bench, device, action))
    assert run.kinds[-1] == last
    assert [word[1] for word in run.device.seen.words] == [f"closed {'success' if health == GOOD else 'failure'}"]
    assert not run.device.document("outbox").get("entries")


@pytest.mark.feature("management", "final-within-quota")
def test_how_an_update_ends_is_kept_where_the_quota_stops_that_too(bench: Bench) -> None:
    # Not earlier: there, each range of the file is an entry too, and without room for it the file is refused.
    run = bench.update(at=State.TRIAL, act=lambda device, action: use_up(bench, device, action), polls=80)
    assert (run.running, run.kinds[-1]) == (NEW, "running")
    (kept,) = run.device.document("outbox")["entries"]
    assert "success" in str(kept)
    assert run.device.seen.states.count("staging") == 1  # it is offered still, and is over here
