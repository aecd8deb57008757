"""Our own device at goosebit: the real daemon and fetcher; what the operator sees afterwards is the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fleet.device import Device, surroundings
from fleet.systems import GOOD, SICK

from agent.daemon.machine import State
from hawkbit.geese import OLD, Geese
from hawkbit.instances import running

pytestmark = pytest.mark.feature("goosebit")


@pytest.fixture(autouse=True)
def devices() -> Iterator[None]:
    with surroundings():
        yield


def ends(device: Device) -> list[str]:
    """The final messages."""
    return [word[1] for word in device.seen.words]


def test_a_known_number_that_failed_is_tried_again_when_the_operator_forces_it(geese: Geese) -> None:
    device, software = geese.simulated(), geese.software(SICK)
    geese.update(device, software)
    device.board.fates[software.version] = GOOD
    geese.operator.change(device.controller_id, force_update=True)
    device.live()
    assert ends(device) == ["closed failure", "closed success"]
    assert geese.state(device) == ("Finished", software.version)


def test_what_runs_already_is_reported_and_not_installed_again(geese: Geese) -> None:
    device, software = geese.simulated(), geese.software()
    geese.update(device, software)
    boots = len(device.board.boots)
    geese.operator.change(device.controller_id, force_update=True)
    device.live()
    assert ends(device) == ["closed success", "closed success"]
    assert len(device.board.boots) == boots + 1  # that it was switched on once more
    assert geese.operator.device(device.controller_id)["force_update"] is False


def test_a_known_number_with_another_bundle_is_a_new_action(geese: Geese, tmp_path: Path) -> None:
    numbers = []
    device = None
    for number in range(2):  # the second one has a new database: its numbers begin again
        home = tmp_path / f"server-{number}"
        home.mkdir()
        with running("goosebit", home) as instance:
            here = Geese(instance, tmp_path)
            device = device or here.simulated()
            here.operator.target(device.controller_id, f"token-of-{device.controller_id}")
            device.config = replace(device.config, server=replace(device.config.server, url=instance.url))
            device.live()
            software = here.software()
            here.update(device, software)
            numbers.append(software.number)
            assert here.state(device) == ("Finished", software.version)
            assert device.board.system.version == software.version
    assert numbers == [1, 1]
    assert device is not None and ends(device) == ["closed success", "closed success"]


def test_a_deployment_that_becomes_null_is_given_up_without_a_word(geese: Geese) -> None:
    device, software = geese.simulated(), geese.software()
    left = [True]

    def entered(state: State) -> None:
        if state is State.OFFERED and left:
            left.clear()
            geese.operator.change(device.controller_id, pinned=True)

    device.on_state = entered
    geese.update(device, software)
    assert not left
    assert (device.board.system.version, ends(device)) == (OLD, [])
    assert geese.state(device)[0] in ("Registered", "Running")
