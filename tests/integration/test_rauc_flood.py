"""What everybody may ask of RAUC's interface cannot keep anybody from what he may do."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gi.repository import GLib
from support.agent_double import agent_double
from support.bus import main_loop, private_bus
from support.facade import Client, facade_on

from agent.rauc.names import BUSY

pytestmark = [pytest.mark.root, pytest.mark.req("C09", "T25")]


class Crowd:
    """Clients that call at once."""

    def __init__(self, client: Client, count: int, method: str, signature: str = "", *values: object) -> None:
        self.errors: list[str] = []
        self._call = (method, signature, *values)
        self._client = client
        self.threads = [threading.Thread(target=self._run) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self) -> None:
        try:
            self._client.call(*self._call)  # type: ignore[arg-type]
        except GLib.Error as error:
            self.errors.append(error.message)

    def join(self) -> None:
        for thread in self.threads:
            thread.join()


@contextmanager
def client_on(address: str) -> Iterator[Client]:
    client = Client(address)
    yield client
    client.close()


def test_one_bundle_at_a_time_is_inspected_and_the_rest_is_served_meanwhile(tmp_path: Path) -> None:
    """An inspector takes 40 MiB, and as long as its caller likes."""
    config = tmp_path / "device.toml"
    os.mkfifo(config)
    with (
        private_bus(tmp_path) as address, main_loop(), agent_double(address, State="idle", Primary="rootfs.0"),
        facade_on(address, config), client_on(address) as client,
    ):  # fmt: skip
        crowd = Crowd(client, 6, "InspectBundle", "sa{sv}", "/x.raucb", {})
        client.wait_until(lambda: len(crowd.errors) == 5)
        assert all(BUSY in error or "[access.busy]" in error for error in crowd.errors)
        assert client.call("GetPrimary") == ("rootfs.0",)
        config.write_text("")
        crowd.join()
        assert "[config." in crowd.errors[-1], "the one that was inspected"


def test_who_may_install_is_not_turned_away_for_those_who_only_look(tmp_path: Path) -> None:
    with (
        private_bus(tmp_path) as address, main_loop(), agent_double(address, State="idle", Primary="rootfs.0") as agent,
        facade_on(address), client_on(address) as client,
    ):  # fmt: skip
        agent.hang()
        lookers = Crowd(client, 6, "GetPrimary")
        client.wait_until(lambda: len(lookers.errors) == 2)
        assert all("[access.busy]" in error for error in lookers.errors)
        installer = Crowd(client, 1, "InstallBundle", "sa{sv}", "/x.raucb", {})
        client.properties()  # the order has come, too
        agent.go_on()
        installer.join()
        lookers.join()
        assert installer.errors == []
